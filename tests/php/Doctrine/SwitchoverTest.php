<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use HaDsn\Tests\Support\FailoverTestCase;
use HaDsn\Tests\Support\Switchover;

/**
 * The leadership is handed over in good order, while a worker uses Doctrine DBAL.
 */
final class SwitchoverTest extends FailoverTestCase
{
    use Switchover;

    protected const SCRIPT = __DIR__ . '/loop.php';
    protected const ERRORS = '/^Doctrine\\\\DBAL\\\\Exception\\\\(ConnectionLost|ConnectionException): |^HaDsn\\\\CommitUnknownException: /';
}
