<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * One node of a cluster, in Patroni's words. Found in a {@see Topology}.
 */
final class Member
{
    /** Patroni's name of the node. */
    public readonly string $name;

    /** The host that it announces, before the options `map` and `port` apply: an IP address or a name. */
    public readonly string $host;

    /** The port that it announces. */
    public readonly int $port;

    /** `leader`, `standby_leader`, `sync_standby`, `quorum_standby`, `replica`, or a word that Patroni came up with later. */
    public readonly string $role;

    /** `running`, `streaming`, `in archive recovery`, `starting`, `stopped`, `crashed`, … */
    public readonly string $state;

    /** The timeline it is on; null if it is unknown. */
    public readonly ?int $timeline;

    /** Bytes of WAL that it has not replayed yet; null for a leader, and if it is unknown. */
    public readonly ?int $lag;

    /**
     * Patroni's tags by name: `noloadbalance`, `nofailover`, … Lists and maps are kept as their JSON text.
     *
     * @var array<string, bool|int|float|string|null>
     */
    public readonly array $tags;

    /** The URL of its REST API, which ends in `/patroni`; null if it announces none. */
    public readonly ?string $apiUrl;

    private function __construct() {}
}
