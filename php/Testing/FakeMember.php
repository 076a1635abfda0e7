<?php

declare(strict_types=1);

namespace HaDsn\Testing;

/**
 * A node of a {@see FakeCluster}, as it is at the beginning. Names are the field's: see Patroni's `GET /cluster`.
 */
final class FakeMember
{
    /**
     * @param string                                     $name what the tests call it
     * @param string                                     $role while it does not lead: `replica`, `sync_standby` or `quorum_standby`
     * @param int|null                                   $lag  bytes that it is behind while it does not lead; null: it is not known
     * @param array<string, bool|int|float|string|null>  $tags Patroni's: `noloadbalance`, `nofailover`, …
     * @param string|null                                $host the address that it announces; null: one of this machine
     * @param int                                        $port the port that belongs to `$host`
     */
    public function __construct(
        public readonly string $name,
        public readonly string $role = 'replica',
        public readonly ?int $lag = 0,
        public readonly array $tags = [],
        public readonly ?string $host = null,
        public readonly int $port = 5432,
    ) {
        if ($name === '') {
            throw new \InvalidArgumentException('a member needs a name');
        }
        if (!in_array($role, ['replica', 'sync_standby', 'quorum_standby'], true)) {
            throw new \InvalidArgumentException("member $name: role \"$role\": expected replica, sync_standby or quorum_standby; who leads is said by the cluster");
        }
        if ($lag !== null && $lag < 0) {
            throw new \InvalidArgumentException("member $name: lag $lag: expected 0 or more");
        }
    }
}
