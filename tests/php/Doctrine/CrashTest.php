<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use HaDsn\Tests\Support\Crash;
use HaDsn\Tests\Support\FailoverTestCase;

/**
 * The leader's machine dies, and comes back later, while a worker uses Doctrine DBAL.
 */
final class CrashTest extends FailoverTestCase
{
    use Crash;

    protected const SCRIPT = __DIR__ . '/loop.php';
    protected const ERRORS = '/^Doctrine\\\\DBAL\\\\Exception\\\\(ConnectionLost|ConnectionException): |^HaDsn\\\\CommitUnknownException: /';

    protected const SYNCHRONOUS = true;
}
