<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;
use HaDsn\Console\Net\Exchange;
use HaDsn\Console\Net\Exchanges;
use HaDsn\Console\Net\Http;
use HaDsn\Console\Net\Names;
use HaDsn\Console\Net\Postgres;
use HaDsn\Console\Source;
use HaDsn\Console\SourceUrl;
use HaDsn\Console\Text;
use HaDsn\Topology;

/**
 * The members: whether what they announce can be reached from here, who leads, and how far the others are behind.
 *
 * @internal
 */
final class Members
{
    private const HEALTHY = ['running', 'streaming', 'in archive recovery'];

    /** A lag from which it is worth a word where the source has no `max_lag`. */
    private const LARGE_LAG = 64 << 20;

    public function __construct(private readonly Source $source, private readonly Report $report, private readonly float $timeout) {}

    /**
     * @param list<Api>      $apis
     * @param list<Endpoint> $asked the endpoints that were asked, with or without an answer
     *
     * @return list<Node> those that can be connected to
     */
    public function check(Topology $topology, array $apis, array $asked): array
    {
        $nodes = $this->nodes($topology);
        $this->checkSilentMembers($topology, $apis);
        $leader = null;
        $reachable = [];
        $readable = 0;
        foreach ($nodes as $node) {
            $isUsable = $this->checkNode($node);
            $leader = $node->isLeader() ? $node : $leader;
            if ($isUsable) {
                $reachable[] = $node;
                $readable += (int) (!$node->isLeader() && $this->isReadable($node));
            }
        }
        $this->checkRoles($nodes, $leader, $readable);
        $this->checkApis($nodes, $apis, array_map(strval(...), $asked));

        return $reachable;
    }

    /** @return list<Node> */
    private function nodes(Topology $topology): array
    {
        $endpoints = array_map(fn(\HaDsn\Member $member): Endpoint => $this->source->route(new Endpoint($member->host, $member->port)), $topology->members);
        $found = Postgres::knock($endpoints, $this->timeout);
        $nodes = [];
        foreach ($topology->members as $i => $member) {
            $nodes[] = new Node(
                $member->name,
                $member->role,
                $member->state,
                $member->lag,
                ($member->tags['noloadbalance'] ?? false) === true,
                $member->apiUrl,
                new Endpoint($member->host, $member->port),
                $found[$i],
            );
        }

        return $nodes;
    }

    /**
     * Members that Patroni names and that nobody could connect to, for want of an address.
     *
     * @param list<Api> $apis
     */
    private function checkSilentMembers(Topology $topology, array $apis): void
    {
        $known = array_map(static fn(\HaDsn\Member $member): string => $member->name, $topology->members);
        foreach (($apis[0] ?? null)?->members() ?? [] as $member) {
            $name = $member['name'] ?? null;
            if (is_string($name) && !in_array($name, $known, true)) {
                $this->report->add(
                    'member.address',
                    Level::Warning,
                    $name,
                    'announces no address that can be used (state ' . (is_string($member['state'] ?? null) ? $member['state'] : 'unknown') . ')',
                    'set postgresql.connect_address in its patroni.yml, or see why it does not start: patronictl list',
                );
            }
        }
    }

    /** Whether it can be connected to. */
    private function checkNode(Node $node): bool
    {
        $found = $node->found;
        $level = $node->isLeader() ? Level::Error : Level::Warning;
        if (!$this->source->allows($found->endpoint->host, $found->ip)) {
            $this->report->add(
                'member.forbidden',
                $level,
                $node->subject(),
                'is outside allow_hosts',
                'add it to the option allow_hosts if it belongs there, or find out who announces it',
            );

            return false;
        }
        if ($found->ip === null) {
            $this->report->add(
                'member.unresolved',
                $level,
                $node->subject(),
                'the name has no address on this host',
                'publish it in DNS or /etc/hosts, announce an address (postgresql.connect_address), or translate it with the option map',
            );

            return false;
        }
        if (!$found->isReachable()) {
            $this->report->add('member.unreachable', $level, $node->subject(), (string) $found->error, $this->advice($node));

            return false;
        }
        $mode = $this->source->option('sslmode') ?? 'prefer';
        if ($found->takesTls === false && in_array($mode, ['require', 'verify-ca', 'verify-full'], true)) {
            $this->report->add(
                'tls.member',
                $level,
                $node->subject(),
                "takes no TLS, and sslmode=$mode demands it",
                'set ssl = on with a certificate in PostgreSQL there',
            );

            return false;
        }
        $details = "$node->role, $node->state, answers in " . Text::duration($found->seconds) . ($found->takesTls ? ', takes TLS' : '');
        if (!in_array($node->state, self::HEALTHY, true)) {
            $this->report->add('member.state', $level, $node->subject(), $details, 'see its log, and patronictl list');
        } else {
            $this->report->ok('member.reachable', $node->subject(), $details . ($node->isExcluded ? ', tagged noloadbalance' : ''));
        }
        if (!$node->isLeader()) {
            $this->checkLag($node);
        }

        return true;
    }

    private function advice(Node $node): string
    {
        $host = $node->found->endpoint->host;
        if ($host === 'localhost' || str_starts_with($host, '127.') || $host === '::1') {
            return 'it announces an address of its own machine only: set postgresql.connect_address in its patroni.yml to one that others can reach (or start PostgreSQL, if it runs here)';
        }

        return 'start PostgreSQL there, or see to its listen_addresses and the firewall; if it is reached under another address from here (NAT, containers), use the option map';
    }

    private function checkLag(Node $node): void
    {
        $limit = $this->source->bytes('max_lag');
        if ($node->lag === null) {
            if ($limit !== null) {
                $this->report->add(
                    'member.lag',
                    Level::Warning,
                    $node->subject(),
                    'its lag is unknown, so it is not read from',
                    'see whether it streams: patronictl list',
                );
            }
        } elseif ($limit !== null && $node->lag > $limit) {
            $this->report->add(
                'member.lag',
                Level::Warning,
                $node->subject(),
                'is ' . Text::bytes($node->lag) . ' behind, more than max_lag (' . Text::bytes($limit) . '): it is not read from',
                'see to its disk and network, or raise max_lag',
            );
        } elseif ($limit === null && $node->lag >= self::LARGE_LAG) {
            $this->report->add(
                'member.lag',
                Level::Notice,
                $node->subject(),
                'is ' . Text::bytes($node->lag) . ' behind, and read from all the same',
                'see to its disk and network; the option max_lag keeps readers away from it',
            );
        }
    }

    /** Whether hadsn would read from it. */
    private function isReadable(Node $node): bool
    {
        $limit = $this->source->bytes('max_lag');
        $isSynchronous = in_array($node->role, ['sync_standby', 'quorum_standby'], true);

        return in_array($node->state, ['streaming', 'in archive recovery', 'running'], true)
            && !$node->isExcluded
            && ($limit === null || $node->lag !== null && $node->lag <= $limit)
            && ($isSynchronous || $this->source->option('reader_sync') !== 'on');
    }

    /** @param list<Node> $nodes */
    private function checkRoles(array $nodes, ?Node $leader, int $readable): void
    {
        if ($leader === null) {
            $standby = array_filter($nodes, static fn(Node $node): bool => $node->role === 'standby_leader');
            if ($standby !== []) {
                $this->report->add(
                    'cluster.standby',
                    Level::Error,
                    'leader',
                    'this is a standby cluster: nobody in it takes writes',
                    'name the sources of the primary cluster, with this one behind it, or promote this one: remove standby_cluster with patronictl edit-config',
                );
            } else {
                $this->report->add(
                    'cluster.leader',
                    Level::Error,
                    'leader',
                    'nobody leads',
                    'in a failover wait for ttl (30 s by default); otherwise see patronictl list, and the DCS',
                );
            }
        }
        if ($readable === 0) {
            $what = ($this->source->option('reader_fallback') ?? 'writer') === 'writer' ? 'readers go to the leader' : 'readers fail (reader_fallback=error)';
            $this->report->add(
                'cluster.replicas',
                Level::Warning,
                'replicas',
                "none can be read from: $what, and nobody could take over",
                'start a replica, or see above why those that are there do not count (state, noloadbalance, max_lag, reader_sync)',
            );
        } else {
            $this->report->ok('cluster.replicas', 'replicas', "$readable can be read from");
        }
    }

    /**
     * The REST APIs that members announce. One that was among the endpoints has been asked already.
     *
     * @param list<Node>   $nodes
     * @param list<Api>    $apis
     * @param list<string> $asked
     */
    private function checkApis(array $nodes, array $apis, array $asked): void
    {
        $known = array_map(static fn(Api $api): ?string => $api->name(), $apis);
        $exchanges = $subjects = [];
        foreach ($nodes as $node) {
            $url = parse_url($node->apiUrl ?? '');
            if (in_array($node->name, $known, true) || !isset($url['host'], $url['port'])) {
                continue;
            }
            $announced = new Endpoint(trim($url['host'], '[]'), $url['port']);
            $endpoint = $this->source->route($announced, true);
            if (in_array((string) $announced, $asked, true) || in_array((string) $endpoint, $asked, true) || !$this->source->allows($endpoint->host, Endpoint::isAddress($endpoint->host) ? $endpoint->host : null)) {
                continue;
            }
            $ip = Names::resolve([$endpoint->host], $this->timeout)[$endpoint->host][0] ?? null;
            $subjects[] = "$node->name at $endpoint";
            $tls = Endpoints::tls($this->source, SourceUrl::parse(($url['scheme'] ?? '') === 'https' ? 'patroni+https' : 'patroni', 'x'));
            $exchanges[] = $ip === null ? null : Http::get($endpoint, $ip, '/patroni', null, $tls, $this->timeout);
        }
        Exchanges::run(array_filter($exchanges));
        foreach ($exchanges as $i => $exchange) {
            $reason = $exchange instanceof Exchange ? $exchange->error : 'the name has no address on this host';
            if ($reason !== null) {
                $this->report->add(
                    'member.api',
                    Level::Warning,
                    $subjects[$i],
                    "its REST API can't be reached: $reason",
                    'a new leader is confirmed by its own API: see to restapi.connect_address and the firewall, or list the endpoint in the source string',
                );
            }
        }
    }
}
