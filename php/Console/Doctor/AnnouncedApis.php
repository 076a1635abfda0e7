<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;
use HaDsn\Console\Net\Exchange;
use HaDsn\Console\Net\Exchanges;
use HaDsn\Console\Net\Http;
use HaDsn\Console\Source;

/**
 * The REST APIs that members announce, but for those that were asked already as endpoints: hadsn asks them before it follows a new
 * leader.
 *
 * @internal
 */
final class AnnouncedApis
{
    /** @var list<array{name: string, endpoint: Endpoint, isTls: bool}> */
    private readonly array $apis;

    /**
     * @param list<Announcement> $said
     * @param list<Api>          $answered
     * @param list<Endpoint>     $asked
     */
    public function __construct(array $said, array $answered, array $asked, private readonly Source $source)
    {
        $known = array_map(static fn(Api $api): ?string => $api->name(), $answered);
        $asked = array_map(strval(...), $asked);
        $apis = [];
        foreach ($said as $member) {
            $url = parse_url($member->apiUrl ?? '');
            if (in_array($member->name, $known, true) || !isset($url['host'], $url['port'])) {
                continue;
            }
            $announced = new Endpoint(trim($url['host'], '[]'), $url['port']);
            $endpoint = $source->route($announced, true);
            if (array_intersect([(string) $announced, (string) $endpoint], $asked) === []) {
                $apis[] = ['name' => $member->name, 'endpoint' => $endpoint, 'isTls' => ($url['scheme'] ?? '') === 'https'];
            }
        }
        $this->apis = $apis;
    }

    /** @return list<Endpoint> */
    public function endpoints(): array
    {
        return array_column($this->apis, 'endpoint');
    }

    /** @param array<string, list<string>|string> $addresses of their hosts */
    public function check(array $addresses, float $timeout, Report $report): void
    {
        $exchanges = $reasons = [];
        foreach ($this->apis as $i => ['endpoint' => $endpoint, 'isTls' => $isTls]) {
            $found = $addresses[$endpoint->host] ?? '';
            if (is_string($found)) {
                $reasons += $found === Source::FORBIDDEN ? [] : [$i => $found];
            } else {
                $exchanges[$i] = array_map(fn(string $ip): Exchange => Http::get($endpoint, $ip, '/patroni', null, Endpoints::tls($this->source, $isTls), $timeout), $found);
            }
        }
        Exchanges::run(array_merge(...array_values($exchanges)));
        foreach ($exchanges as $i => $ofOneName) {
            $errors = array_map(static fn(Exchange $exchange): ?string => $exchange->error, $ofOneName);
            // One address that answers is enough.
            $reasons += in_array(null, $errors, true) ? [] : [$i => $errors[0]];
        }
        foreach ($reasons as $i => $reason) {
            $report->add(
                'member.api',
                Level::Warning,
                "{$this->apis[$i]['name']} at {$this->apis[$i]['endpoint']}",
                "its REST API can't be reached: $reason",
                'a new leader is confirmed by its own API: see to restapi.connect_address and the firewall, or list the endpoint in the source string',
            );
        }
    }
}
