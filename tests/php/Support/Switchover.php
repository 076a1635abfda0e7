<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * The leadership is handed over in good order.
 */
trait Switchover
{
    protected static function changeTheLeader(string $old, Loop $writer): void
    {
        Lab::run('switchover');
        Lab::run('start', $old, '--wait');
    }
}
