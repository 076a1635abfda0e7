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
    /** @return list<Endpoint> */
    public static function hosts(SourceUrl $url, Source $source, Report $report, float $timeout): array
    {
        if ($url->srvName === null) {
            return $url->endpoints;
        }
        $servers = self::servers($source, $report, $timeout);
        if ($servers === []) {
            return [];
        }
        $by = implode(', ', array_map(strval(...), $servers));
        $answer = Dns::look($url->srvName, $servers, $timeout);
        if ($answer->error !== null) {
            $report->add(
                'srv.lookup',
                Level::Error,
                $url->srvName,
                "asked $by: $answer->error",
                'publish SRV records under this name, or name the right DNS server with the option nameserver; docs/srv.md has examples of zones',
            );

            return [];
        }
        $endpoints = array_map(static fn(array $record): Endpoint => $record['endpoint'], $answer->records);
        if (count($endpoints) === 1 && $endpoints[0]->host === '') {
            $report->add(
                'srv.refused',
                Level::Error,
                $url->srvName,
                'the record\'s target is ".": the service is not offered here',
                'name another domain, or publish the hosts',
            );

            return [];
        }
        $report->ok('srv.lookup', $url->srvName, implode(', ', array_map(strval(...), $endpoints)) . " by $by");

        return $endpoints;
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
        $ip = Names::resolve([$server->host], $timeout)[$server->host][0] ?? null;
        if ($ip === null) {
            $report->add('srv.nameserver', Level::Error, "nameserver=$named", 'the name has no address', 'write the DNS server\'s address');

            return [];
        }

        return [new Endpoint($ip, $server->port)];
    }
}
