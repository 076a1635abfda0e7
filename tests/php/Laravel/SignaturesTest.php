<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use PHPUnit\Framework\TestCase;

/**
 * That the classes fit the versions of Laravel that are not installed, as their sources have the signatures: one that does not is a fatal error.
 */
final class SignaturesTest extends TestCase
{
    /** @dataProvider versions */
    public function testTheyFit(string $transaction, string $reconnect): void
    {
        $outcome = (new Process([...Php::command(), __DIR__ . '/app/signatures.php', $transaction, $reconnect]))->wait(30.0);

        self::assertSame(['', "PostgresConnection\nConnector\nLostConnections\nFailoverException\n"], [$outcome->stderr, $outcome->stdout]);
    }

    /** @return iterable<string, array{string, string}> parameters of transaction(); visibility of reconnectIfMissingConnection() */
    public static function versions(): iterable
    {
        yield '8' => ['\Closure $callback, $attempts = 1', 'protected'];
        yield '12.9' => ['\Closure $callback, $attempts = 1, ?\Closure $onFailure = null', 'public'];
        yield '13' => ['\Closure $callback, $attempts = 1', 'public'];
    }
}
