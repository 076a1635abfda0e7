<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * The leader's machine dies, and comes back later.
 */
trait Crash
{
    protected static function changeTheLeader(string $old, Loop $writer): void
    {
        Lab::run('kill', $old);
        self::await(static fn(): bool => self::lastServer($writer) !== Lab::address($old), 'another node takes writes', 60.0);
        Lab::run('start', $old, '--wait');
    }

    /** The server that took the last row. */
    private static function lastServer(Loop $writer): string
    {
        $successes = $writer->successes();

        return end($successes)['server'];
    }
}
