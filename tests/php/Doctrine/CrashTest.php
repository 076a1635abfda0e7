<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use HaDsn\Tests\Support\FailoverTestCase;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Loop;

/**
 * The leader's machine dies, and comes back later, while a worker uses Doctrine DBAL.
 */
final class CrashTest extends FailoverTestCase
{
    protected const SCRIPT = __DIR__ . '/loop.php';
    protected const ERRORS = '/^Doctrine\\\\DBAL\\\\Exception\\\\(ConnectionLost|ConnectionException): |^HaDsn\\\\CommitUnknownException: /';

    protected const SYNCHRONOUS = true;

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
