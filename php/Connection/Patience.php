<?php

declare(strict_types=1);

namespace HaDsn\Connection;

/**
 * How often one piece of work may run again, and the pauses in between.
 *
 * @internal
 */
final class Patience
{
    /** How often conflicts may send a transaction back. */
    public const CONFLICTS = 10;

    /** The longest pause, which doubles from the first to the last, in seconds. */
    private const FIRST_PAUSE = 0.020;
    private const LAST_PAUSE = 0.250;

    private ?float $until = null;
    private int $failovers = 0;
    private int $conflicts = 0;

    public function __construct(private readonly string $cluster) {}

    /** The number of the attempt that is under way, from 1. */
    public function attempt(): int
    {
        return 1 + $this->failovers + $this->conflicts;
    }

    /**
     * Waits before work is repeated that a failover ended. False: `failover_timeout` is over, counted from the first time.
     *
     * Connecting waits for the new leader anyway, so the first time there is nothing to wait for.
     */
    public function waitForFailover(): bool
    {
        $now = self::now();
        $this->until ??= $now + $this->failoverTimeout();
        if ($now >= $this->until) {
            return false;
        }
        self::pause(min(self::longest($this->failovers), $this->until - $now));
        ++$this->failovers;

        return true;
    }

    /** Waits before a transaction is repeated that was in conflict with others. False: it was often enough. */
    public function waitForOthers(): bool
    {
        if ($this->conflicts >= self::CONFLICTS) {
            return false;
        }
        self::pause(self::longest(++$this->conflicts));

        return true;
    }

    private function failoverTimeout(): float
    {
        return \HaDsn::status()['clusters'][$this->cluster]['failover_timeout'] ?? 0.0;
    }

    private static function longest(int $repeats): float
    {
        return $repeats === 0 ? 0.0 : min(self::FIRST_PAUSE * 2 ** min($repeats - 1, 16), self::LAST_PAUSE);
    }

    /** Sleeps for a part of the time that chance decides: those who failed together do not come back together. */
    private static function pause(float $longest): void
    {
        $microseconds = random_int(0, (int) ($longest * 1e6));
        if ($microseconds > 0) {
            usleep($microseconds);
        }
    }

    private static function now(): float
    {
        return hrtime(true) / 1e9;
    }
}
