<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;
use HaDsn\Console\Net\Names;
use HaDsn\Console\Net\Postgres;
use HaDsn\Console\Source;
use HaDsn\Console\Text;

/**
 * The members: whether what they announce can be reached from here, and how far they are behind.
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
     * @param list<Announcement> $said
     * @param list<Api>          $apis
     * @param list<Endpoint>     $asked the endpoints that were asked, with or without an answer
     *
     * @return list<Node> those that can be connected to
     */
    public function check(array $said, array $apis, array $asked): array
    {
        $endpoints = array_map(fn(Announcement $one): Endpoint => $this->source->route($one->address), $said);
        $others = new AnnouncedApis($said, $apis, $asked, $this->source);
        $addresses = $this->source->permitted(Names::resolve(array_column([...$endpoints, ...$others->endpoints()], 'host'), $this->timeout));
        $this->checkSilentMembers($said, $apis);
        $reachable = [];
        foreach (Postgres::knock($endpoints, $addresses, $this->timeout, extension_loaded('openssl')) as $i => $found) {
            $node = new Node($said[$i], $found);
            if ($this->checkNode($node)) {
                $reachable[] = $node;
            }
        }
        $this->checkReplicas($said, $reachable);
        $others->check($addresses, $this->timeout, $this->report);

        return $reachable;
    }

    /**
     * Members that Patroni names and that nobody could connect to, for want of an address.
     *
     * @param list<Announcement> $said
     * @param list<Api>          $apis
     */
    private function checkSilentMembers(array $said, array $apis): void
    {
        $known = array_column($said, 'name');
        // With several sources the others may speak of another cluster.
        $ofThisCluster = array_filter($apis, static fn(Api $api): bool => $known === [] || array_intersect(array_filter(array_column($api->members(), 'name'), is_string(...)), $known) !== []);
        foreach ((array_values($ofThisCluster)[0] ?? null)?->members() ?? [] as $member) {
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
        if ($found->error === Source::FORBIDDEN) {
            $this->report->add(
                'member.forbidden',
                $level,
                $node->subject(),
                $found->error,
                'add it to the option allow_hosts if it belongs there, or find out who announces it',
            );

            return false;
        }
        if ($found->ip === null) {
            $this->report->add(
                'member.unresolved',
                $level,
                $node->subject(),
                (string) $found->error,
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
        $this->checkState($node);
        $this->checkCertificate($node, $mode);
        if (!$node->isLeader()) {
            $this->checkLag($node);
        }

        return true;
    }

    private function checkState(Node $node): void
    {
        $details = implode(', ', array_filter([
            $node->said->role,
            $node->said->state,
            'answers in ' . Text::duration($node->found->seconds),
            $node->found->takesTls ? 'takes TLS' : null,
            $node->said->isExcluded ? 'tagged noloadbalance' : null,
        ]));
        if ($node->said->state === null || in_array($node->said->state, self::HEALTHY, true)) {
            $this->report->ok('member.reachable', $node->subject(), $details);
        } else {
            $level = $node->isLeader() ? Level::Error : Level::Warning;
            $this->report->add('member.state', $level, $node->subject(), $details, 'see its log, and patronictl list');
        }
    }

    private function checkCertificate(Node $node, string $mode): void
    {
        $certificate = $node->found->certificate;
        if ($certificate !== null) {
            $isChecked = in_array($mode, ['verify-ca', 'verify-full'], true);
            Expiry::check($node->subject(), $certificate, $isChecked ? Level::Error : Level::Warning, 'renew it (PostgreSQL: ssl_cert_file, then reload)', $this->report);
        } elseif ($node->found->takesTls && $mode !== 'disable' && extension_loaded('openssl')) {
            $this->report->add(
                'tls.handshake',
                Level::Warning,
                $node->subject(),
                'offers TLS, and no connection with it comes about',
                'see the log of PostgreSQL there, its ssl_min_protocol_version and ssl_ciphers',
            );
        }
    }

    private function advice(Node $node): string
    {
        $host = $node->found->endpoint->host;

        return match (true) {
            $node->found->isConnected && $node->isLeader() => 'somebody takes connections there and is no PostgreSQL that works: the server is frozen or overloaded, or the port is another\'s; '
                . 'if its REST API is silent too, Patroni promotes a replica ttl (30 s by default) after it was last heard of; if not, PostgreSQL hangs and Patroni keeps the lock: patronictl failover',
            $node->found->isConnected => 'somebody takes connections there and is no PostgreSQL that works: the server is frozen or overloaded (see that machine), or the port is another\'s',
            $host === 'localhost' || str_starts_with($host, '127.') || $host === '::1' => 'start PostgreSQL, if it runs on this machine; if not, it announces an address of its own machine only: '
                . 'set postgresql.connect_address in its patroni.yml to one that others can reach',
            default => 'start PostgreSQL there, or see to the machine, to listen_addresses and to the firewall; if it is reached under another address from here (NAT, containers), use the option map',
        };
    }

    private function checkLag(Node $node): void
    {
        $limit = $this->source->bytes('max_lag');
        if ($node->said->lag === null) {
            if ($limit !== null) {
                $this->report->add(
                    'member.lag',
                    Level::Warning,
                    $node->subject(),
                    'its lag is unknown, so it is not read from',
                    'see whether it streams: patronictl list',
                );
            }
        } elseif ($limit !== null && $node->said->lag > $limit) {
            $this->report->add(
                'member.lag',
                Level::Warning,
                $node->subject(),
                'is ' . Text::bytes($node->said->lag) . ' behind, more than max_lag (' . Text::bytes($limit) . '): it is not read from',
                'see to its disk and network, or raise max_lag',
            );
        } elseif ($limit === null && $node->said->lag >= self::LARGE_LAG) {
            $this->report->add(
                'member.lag',
                Level::Notice,
                $node->subject(),
                'is ' . Text::bytes($node->said->lag) . ' behind, and read from all the same',
                'see to its disk and network; the option max_lag keeps readers away from it',
            );
        }
    }

    /** Whether hadsn would read from it. */
    private function isReadable(Node $node): bool
    {
        $limit = $this->source->bytes('max_lag');
        $isSynchronous = in_array($node->said->role, ['sync_standby', 'quorum_standby'], true);

        return in_array($node->said->state, ['streaming', 'in archive recovery', 'running'], true)
            && !$node->said->isExcluded
            && ($limit === null || $node->said->lag !== null && $node->said->lag <= $limit)
            && ($isSynchronous || $this->source->option('reader_sync') !== 'on');
    }

    /**
     * @param list<Announcement> $said
     * @param list<Node>         $reachable
     */
    private function checkReplicas(array $said, array $reachable): void
    {
        if (array_filter(array_column($said, 'role')) === []) {
            // Nobody has said what they are.
            return;
        }
        $readable = count(array_filter($reachable, fn(Node $node): bool => !$node->isLeader() && $this->isReadable($node)));
        if ($readable === 0) {
            $what = ($this->source->option('reader_fallback') ?? 'writer') === 'writer' ? 'readers go to the leader' : 'readers fail (reader_fallback=error)';
            $this->report->add(
                'cluster.replicas',
                Level::Warning,
                'replicas',
                "none can be read from: $what, and it may be that nobody can take over",
                'start a replica, or see at Members why those that are there do not count (state, noloadbalance, max_lag, reader_sync)',
            );
        } else {
            $this->report->ok('cluster.replicas', 'replicas', "$readable can be read from");
        }
    }
}
