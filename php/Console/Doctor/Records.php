<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;
use HaDsn\Console\Net\Dns;
use HaDsn\Console\Net\Names;
use HaDsn\Console\Source;
use HaDsn\Console\SourceUrl;

/**
 * The hosts of each source URL: listed, or in SRV records.
 *
 * @internal
 */
final class Records
{
    /**
     * @param list<SourceUrl> $urls
     *
     * @return list<list<Endpoint>> in the order of the URLs
     */
    public static function hosts(array $urls, Source $source, Report $report, float $timeout): array
    {
        $names = array_filter(array_map(static fn(SourceUrl $url): ?string => $url->srvName(), $urls));
        $servers = $names === [] ? [] : self::servers($source, $report, $timeout);
        $answers = Dns::look(array_values(array_unique($names)), $servers, $timeout);

        return array_map(static function (SourceUrl $url) use ($answers, $servers, $report): array {
            $name = $url->srvName();

            return $name === null ? $url->endpoints() : (isset($answers[$name]) ? self::judge($name, $answers[$name], $servers, $report) : []);
        }, $urls);
    }

    /**
     * @param list<Endpoint> $servers
     *
     * @return list<Endpoint>
     */
    private static function judge(string $name, Dns $answer, array $servers, Report $report): array
    {
        $by = implode(', ', array_map(strval(...), $servers));
        if ($answer->error !== null) {
            $report->add(
                'srv.lookup',
                Level::Error,
                $name,
                "asked $by: $answer->error",
                'publish SRV records under this name, or name the right DNS server with the option nameserver; docs/srv.md has examples of zones',
            );

            return [];
        }
        if (count($answer->targets) === 1 && $answer->targets[0]->host === '') {
            $report->add(
                'srv.refused',
                Level::Error,
                $name,
                'the record\'s target is ".": the service is not offered here',
                'name another domain, or publish the hosts',
            );

            return [];
        }
        $report->ok('srv.lookup', $name, implode(', ', array_map(strval(...), $answer->targets)) . " by $by");

        return $answer->targets;
    }

    /** @return list<Endpoint> with addresses */
    private static function servers(Source $source, Report $report, float $timeout): array
    {
        $named = $source->option('nameserver');
        if ($named === null) {
            $servers = Dns::servers();
            if ($servers === []) {
                $report->add(
                    'srv.nameserver',
                    Level::Error,
                    '/etc/resolv.conf',
                    'names no DNS server',
                    'name one there, or with the option nameserver',
                );
            }

            return $servers;
        }
        $server = Endpoint::parse($named, 53);
        $addresses = Names::resolve([$server->host], $timeout)[$server->host];
        if (is_string($addresses)) {
            $report->add('srv.nameserver', Level::Error, "nameserver=$named", $addresses, 'write the DNS server\'s address');

            return [];
        }

        return [new Endpoint($addresses[0], $server->port)];
    }
}
