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

    /** The zone that its DNS server serves, and where that listens. */
    public const ZONE = 'lab.hadsn.test';
    public const NAME_SERVER = '127.0.0.10:5353';

    private const DATA = '/var/tmp/hadsn-lab-data';
    private const PATRONICTL = '/var/tmp/hadsn-patroni-4.1.5/bin/patronictl';

    private static bool $isOurs = false;

    /**
     * Brings it up, healthy: nothing is frozen, partitioned or killed any more.
     *
     * @param string ...$options of `lab up`: what else there is to be
     */
    public static function up(bool $synchronous = false, string ...$options): void
    {
        if (!self::$isOurs && self::try('status', '--json')->exitCode !== 0) {
            self::$isOurs = true;
            register_shutdown_function(static fn() => self::try('down'));
        }
        self::run('up', ...($synchronous ? ['--sync'] : []), ...$options);
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
        return new Process([...self::command(), ...$arguments]);
    }

    /**
     * What it says of itself.
     *
     * @return array{leader: string|null, etcd: bool, nodes: list<array<string, mixed>>, dns_leader: string|null}
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

    /**
     * The names of those that don't lead.
     *
     * @return list<string>
     */
    public static function replicas(): array
    {
        return array_values(array_diff(['pg1', 'pg2', 'pg3'], [self::leader()]));
    }

    /** The address of a node, from its name: `pg1` is 127.0.0.11. */
    public static function address(string $node): string
    {
        return $node === 'dr1' ? '127.0.0.14' : '127.0.0.1' . substr($node, 2);
    }

    /** One of its certificates, or a key: `ca.pem`, `client.key`. */
    public static function certificate(string $file): string
    {
        return self::DATA . "/tls/$file";
    }

    /** A file of one of its services. */
    public static function file(string $service, string $file): string
    {
        return self::DATA . "/$service/$file";
    }

    /** Runs a command of patronictl, as somebody at a node would. */
    public static function patronictl(string $node, string ...$arguments): string
    {
        $command = [self::PATRONICTL, '-c', self::file($node, 'patroni.yml'), ...$arguments];
        $outcome = (new Process($command, ['LC_ALL' => 'C.UTF-8']))->wait(60.0);
        if ($outcome->exitCode !== 0) {
            throw new \RuntimeException("patronictl: {$outcome->stdout}\n{$outcome->stderr}");
        }

        return $outcome->stdout;
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

    /**
     * The program, or the command that has it run elsewhere.
     *
     * @return list<string>
     */
    private static function command(): array
    {
        $command = getenv('HADSN_LAB');

        return $command === false ? [__DIR__ . '/../../lab/lab'] : explode(' ', $command);
    }

    private static function try(string ...$arguments): Outcome
    {
        return self::start(...$arguments)->wait(180.0);
    }
}
