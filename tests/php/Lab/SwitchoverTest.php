<?php

declare(strict_types=1);

namespace HaDsn\Tests\Lab;

use HaDsn\Tests\Support\FailoverTestCase;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Loop;

/**
 * The leadership is handed over in good order.
 */
final class SwitchoverTest extends FailoverTestCase
{
    protected static function changeTheLeader(string $old, Loop $writer): void
    {
        Lab::run('switchover');
        Lab::run('start', $old, '--wait');
    }
}
