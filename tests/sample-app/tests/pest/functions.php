<?php

/*
 * As much of Pest as its example uses.
 */

declare(strict_types=1);

use HaDsn\Testing\InteractsWithFailover;
use Shop\Tests\Pest\Example;

function uses(string ...$traits): void
{
    if ($traits !== [InteractsWithFailover::class]) {
        throw new LogicException('the test case that runs the example uses one trait');
    }
}

function beforeEach(Closure $work): void
{
    Example::$before = $work;
}

function it(string $name, Closure $work): Example
{
    return new Example($name, $work);
}
