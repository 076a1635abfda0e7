<?php

declare(strict_types=1);

namespace HaDsn\Tests\Lab;

use HaDsn\Tests\Support\Crash;
use HaDsn\Tests\Support\FailoverTestCase;

/**
 * The leader's machine dies, and comes back later.
 */
final class CrashTest extends FailoverTestCase
{
    use Crash;

    protected const SYNCHRONOUS = true;
}
