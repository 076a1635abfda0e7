<?php

declare(strict_types=1);

namespace HaDsn\Tests\Lab;

use HaDsn\Tests\Support\FailoverTestCase;
use HaDsn\Tests\Support\Switchover;

/**
 * The leadership is handed over in good order.
 */
final class SwitchoverTest extends FailoverTestCase
{
    use Switchover;
}
