<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * The real cluster: tests/lab/lab, see tests/lab/README.md. Whoever finds it down brings it up, and takes it down again
 * when PHPUnit ends.
 */
final class Lab
{
    public const URL = 'patroni://127.0.0.11,127.0.0.12,127.0.0.13/app';

    private const PROGRAM = __DIR__ . '/../../lab/lab';

    private static bool $isOurs = false;

    /** Brings it up, healthy: nothing is frozen, partitioned or killed any more. */
    public static function up(bool $synchronous = false): void
    {
        if (!self::$isOurs && self::try('status', '--json')->exitCode !== 0) {
            self::$isOurs = true;
            register_shutdown_function(static fn () => self::try('down'));
        }
        self::run('up', ...($synchronous ? ['--sync'] : []));
    }

    /** Runs one of its verbs to the end. */
    public static function run(string ...$arguments): string
    {
        $outcome = self::try(...$arguments);
        if ($outcome->exitCode !== 0) {
            throw new \RuntimeException(
                'lab ' . implode(' ', $arguments) . ": exit code {$outcome->exitCode}\n{$outcome->stdout}\n{$outcome->stderr}",
            );
        }

        return $outcome->stdout;
    }

    /** Starts one of its verbs and does not wait. */
    public static function start(string ...$arguments): Process
    {
        return new Process([self::PROGRAM, ...$arguments]);
    }

    /**
     * What it says of itself.
     *
     * @return array{leader: string|null, etcd: bool, nodes: list<array<string, mixed>>}
     */
    public static function status(): array
    {
        return (new Outcome(0, self::run('status', '--json'), ''))->json();
    }

    /** The leader's name; fails when there is none. */
    public static function leader(): string
    {
        return self::status()['leader'] ?? throw new \RuntimeException('the lab has no leader');
    }

    /** The address of a node, from its name: `pg1` is 127.0.0.11. */
    public static function address(string $node): string
    {
        return '127.0.0.1' . substr($node, 2);
    }

    /** A connection of an application. */
    public static function connect(string $dsn, string $user = 'app', string $password = 'app'): \PDO
    {
        return new \PDO($dsn, $user, $password, [\PDO::ATTR_TIMEOUT => 3]);
    }

    /** A value that the server of a connection tells. */
    public static function ask(\PDO $pdo, string $query): mixed
    {
        return $pdo->query($query)->fetchColumn();
    }

    private static function try(string ...$arguments): Outcome
    {
        return self::start(...$arguments)->wait(180.0);
    }
}
