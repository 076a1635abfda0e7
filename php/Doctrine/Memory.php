<?php

declare(strict_types=1);

namespace HaDsn\Doctrine;

use HaDsn\Connection\Role;

/**
 * What a driver remembers of the connections that it has made: DBAL forgets all of it when it closes one that was lost.
 *
 * @internal
 */
final class Memory
{
    /** @var \WeakMap<\PDO, self>|null */
    private static ?\WeakMap $all = null;

    private string $cluster = 'default';

    /** @var \WeakReference<\PDO>|null the last connection to the leader, as long as DBAL has it */
    private ?\WeakReference $leader = null;

    private bool $isHeld = false;
    private bool $staysAtLeader = false;

    /** That of the driver that has made a connection; null: it is none of hadsn's. */
    public static function of(\PDO $pdo): ?self
    {
        return self::$all[$pdo] ?? null;
    }

    public function keep(\PDO $pdo, string $cluster, string $role): void
    {
        self::$all ??= new \WeakMap();
        self::$all[$pdo] = $this;
        $this->cluster = $cluster;
        if ($role === Role::Writer->value) {
            $this->leader = \WeakReference::create($pdo);
        }
        $this->staysAtLeader = false;
    }

    public function cluster(): string
    {
        return $this->cluster;
    }

    /** A connection was lost. What was at the leader before comes to no replica next, which may not have what was written. */
    public function lose(): void
    {
        $this->staysAtLeader = $this->staysAtLeader || $this->leader?->get() !== null;
    }

    public function staysAtLeader(): bool
    {
        return $this->staysAtLeader;
    }

    /** From now on, nothing is connected to: what belongs to a transaction must not run on another connection by itself. */
    public function hold(): void
    {
        $this->isHeld = true;
    }

    public function release(): void
    {
        $this->isHeld = false;
    }

    public function isHeld(): bool
    {
        return $this->isHeld;
    }
}
