<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * The package on a machine that does not have the extension.
 */
final class WithoutExtensionTest extends UnitTestCase
{
    public function testItsExceptionsCanBeNamedCaughtAndMade(): void
    {
        $code = 'require ' . var_export(dirname(__DIR__) . '/Connection/autoload.php', true) . ';'
            . 'try { throw new HaDsn\CommitUnknownException(); } catch (HaDsn\Exception $e) { echo get_class($e); }';

        $outcome = (new Process([...Php::command([], false), '-r', $code]))->wait(30.0);

        self::assertSame([0, 'HaDsn\CommitUnknownException', ''], [$outcome->exitCode, $outcome->stdout, $outcome->stderr]);
    }
}
