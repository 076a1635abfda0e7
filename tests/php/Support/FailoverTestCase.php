<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * An application writes and another one reads, each in a process of its own, while the leader changes. The tests look at
 * what came of it.
 */
abstract class FailoverTestCase extends LabTestCase
{
    /** The application. */
    protected const SCRIPT = __DIR__ . '/loop.php';

    /** What it may see while there is no leader. */
    protected const ERRORS = '/^(PDOException|HaDsn\\\\NoLeaderException|HaDsn\\\\DiscoveryException): /';

    protected static string $old;
    protected static string $new;

    /** @var list<array<string, mixed>> every turn of the application that writes */
    private static array $writes;

    /** @var list<array<string, mixed>> every turn of the application that reads */
    private static array $reads;

    /** @var array<int, string> the rows that are there in the end: number and server */
    private static array $rows;

    /** @var list<Outcome> how the two applications ended */
    private static array $outcomes;

    /** Makes another node the leader, and returns when the old one is there again. */
    abstract protected static function changeTheLeader(string $old, Loop $writer): void;

    public static function setUpBeforeClass(): void
    {
        parent::setUpBeforeClass();
        self::$old = Lab::leader();
        $pdo = Lab::connect(self::dsn(self::$old));
        $pdo->exec('DROP TABLE IF EXISTS loop');
        $pdo->exec('CREATE TABLE loop (number bigint PRIMARY KEY, server inet NOT NULL DEFAULT inet_server_addr())');

        $writer = new Loop('writer', script: static::SCRIPT);
        $reader = new Loop('reader', script: static::SCRIPT);
        self::await(
            static fn(): bool => $writer->successesAt(self::$old) >= 50 && count($reader->successes()) >= 20,
            'both applications work',
        );
        static::changeTheLeader(self::$old, $writer);
        self::await(static fn(): bool => Lab::status()['leader'] !== null, 'there is a leader');
        self::$new = Lab::leader();
        self::await(static fn(): bool => $writer->successesAt(self::$new) >= 50, 'writing goes on');
        self::$outcomes = [$writer->end(), $reader->end()];
        self::$writes = $writer->turns();
        self::$reads = $reader->turns();

        $pdo = Lab::connect(self::dsn(self::$new));
        self::$rows = $pdo->query('SELECT number, host(server) FROM loop')->fetchAll(\PDO::FETCH_KEY_PAIR);
        $pdo->exec('DROP TABLE loop');
    }

    public function testWritingGoesOnAtTheNewLeader(): void
    {
        self::assertNotSame(self::$old, self::$new);
        $last = array_slice(self::$writes, -40);

        self::assertSame([Lab::address(self::$new)], array_values(array_unique(array_column($last, 'server'))));
        self::assertSame([null], array_values(array_unique(array_column($last, 'error'))));
        self::assertSame(Lab::address(self::$new), self::host(\HaDsn::writer()));
    }

    public function testTheWriterIsNeverAnotherServerThanTheLeader(): void
    {
        $servers = [];
        foreach (self::$writes as $turn) {
            if ($turn['error'] === null) {
                self::assertSame($turn['host'], $turn['server']);
                if (end($servers) !== $turn['server']) {
                    $servers[] = $turn['server'];
                }
            }
        }

        self::assertSame(
            [Lab::address(self::$old), Lab::address(self::$new)],
            $servers,
            'the servers in the order in which they took rows',
        );
    }

    public function testNoAcknowledgedRowIsLost(): void
    {
        $acknowledged = [];
        foreach (self::$writes as $turn) {
            if ($turn['error'] === null) {
                $acknowledged[$turn['number']] = $turn['server'];
            }
        }

        self::assertGreaterThanOrEqual(100, count($acknowledged));
        self::assertSame([], array_diff_assoc($acknowledged, self::$rows));
    }

    public function testReadsGoOnAllTheTime(): void
    {
        $errors = array_filter(array_column(self::$reads, 'error'));

        self::assertSame([], array_values($errors));
        self::assertGreaterThan(50, count(self::$reads));
        self::assertLessThan(3.0, max(array_column(self::$reads, 'seconds')), 'the longest of them, in seconds');
        $pauses = array_map(
            static fn(array $one, array $next): float => $next['at'] - $one['at'],
            array_slice(self::$reads, 0, -1),
            array_slice(self::$reads, 1),
        );
        self::assertLessThan(5.0, max($pauses));
    }

    public function testAnApplicationSeesNoOtherErrors(): void
    {
        foreach (self::$writes as $turn) {
            if ($turn['error'] !== null) {
                self::assertMatchesRegularExpression(static::ERRORS, $turn['error']);
            }
        }
        foreach (self::$outcomes as $outcome) {
            self::assertSame([0, '', ''], [$outcome->exitCode, $outcome->stdout, $outcome->stderr]);
        }
    }

    public function testTheOldLeaderIsReadFromWhenItIsBack(): void
    {
        $old = Lab::address(self::$old);
        self::await(static function () use ($old): bool {
            \HaDsn::invalidate();

            return in_array($old, [self::host(\HaDsn::reader()), self::host(\HaDsn::reader())], true);
        }, 'the old leader is a replica', 30.0);

        $servers = [];
        for ($i = 0; $i < 4; ++$i) {
            $servers[] = self::server(Lab::connect(\HaDsn::reader()));
        }
        self::assertContains($old, $servers);
    }

    private static function dsn(string $node): string
    {
        return 'pgsql:host=' . Lab::address($node) . ';dbname=app';
    }
}
