<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;

/**
 * The application of docs/laravel.md, as it stands there, goes through a switchover and a crash of the leader: it serves requests, and one queue worker
 * works all the time. A commit waits for a replica, so that a crash loses nothing.
 */
final class FailoverTest extends LabTestCase
{
    protected const SYNCHRONOUS = true;

    /** What is queued has numbers from here on; the table keeps them apart. */
    private const JOBS = 1_000_000;

    private static Directory $directory;
    private static Process $server;
    private static Process $worker;
    private static string $address;

    /** @var array<int, int> the answers: status by number */
    private static array $answers = [];

    /** @var list<int> numbers of the jobs that were queued, as far as the application has said so */
    private static array $queued = [];

    /** @var list<string> what the application has said of those that went wrong */
    private static array $errors = [];

    /** @var array<string, array{string, string}> the leader before and after, by what was done */
    private static array $leaders = [];

    private static int $number = 0;

    public static function setUpBeforeClass(): void
    {
        parent::setUpBeforeClass();
        \HaDsn::configure(Lab::URL);
        self::tables();
        self::$directory = new Directory();
        mkdir(self::$directory->path . '/sessions');
        $variables = ['HADSN_URL' => Lab::URL, 'DB_DATABASE' => 'app', 'DB_USERNAME' => 'app', 'DB_PASSWORD' => 'app', 'SESSIONS' => self::$directory->path . '/sessions'];
        // It logs every request; a pipe that nobody reads would stop it.
        $log = self::$directory->path . '/log';
        $command = ['/bin/sh', '-c', 'exec "$@" 2>"$0"', $log, ...Php::command(), '-S', '127.0.0.1:0', __DIR__ . '/app/index.php'];
        self::$server = new Process($command, $variables);
        $started = [];
        self::await(static function () use ($log, &$started): bool {
            return is_file($log) && preg_match('~\(http://(127\.0\.0\.1:\d+)\) started~', (string) file_get_contents($log), $started) === 1;
        }, 'the web server has started');
        self::$address = $started[1];
        self::$worker = new Process([...Php::command(), __DIR__ . '/app/worker.php'], $variables);
        self::$worker->waitFor('~works~', 20.0);

        self::work(static fn(): bool => self::$number >= 50);
        self::through('switchover', static fn(): Process => Lab::start('switchover'));
        // Only one that is known to have all commits may follow a leader that has crashed.
        self::await(static fn(): bool => in_array('sync_standby', array_column(Lab::status()['nodes'], 'role'), true), 'a synchronous standby', 40.0);
        self::through('kill', static fn(string $old): Process => Lab::start('kill', $old));
        self::await(static fn(): bool => self::column('SELECT count(*) FROM jobs') === [0], 'the worker has done all jobs', 60.0);
    }

    public static function tearDownAfterClass(): void
    {
        self::$worker->stop();
        self::$server->stop();
        Lab::run('start', self::$leaders['kill'][0], '--wait');
        Lab::connect(\HaDsn::writer())->exec('DROP TABLE IF EXISTS orders, jobs');
    }

    public function testItGoesOnAtTheNewLeaders(): void
    {
        foreach (self::$leaders as $what => [$old, $new]) {
            self::assertNotSame($old, $new, $what);
        }
        self::assertSame(200, end(self::$answers));
        self::assertGreaterThanOrEqual(150, self::written());
    }

    public function testNothingThatWasReportedAsWrittenIsLost(): void
    {
        $reported = array_keys(self::$answers, 200, true);

        self::assertSame([], array_values(array_diff($reported, self::numbers())));
    }

    public function testNothingIsWrittenTwice(): void
    {
        self::assertSame([], array_keys(array_filter(array_count_values(self::numbers()), static fn(int $times): bool => $times > 1)));
    }

    public function testNothingIsWrittenThatWasReportedAsNotWritten(): void
    {
        $failed = array_keys(self::$answers, 503, true);

        self::assertSame([], array_values(array_intersect($failed, self::numbers())));
    }

    public function testAVisitorSeesNoOtherErrors(): void
    {
        foreach (self::$errors as $error) {
            self::assertMatchesRegularExpression('/^(HaDsn\\\\(NoLeader|CommitUnknown)Exception|HaDsn\\\\Laravel\\\\FailoverException): /', $error);
        }
        $unknown = array_keys(self::$answers, 500, true);
        self::assertLessThanOrEqual(2, count($unknown), 'COMMITs in doubt, one a failover at most');
    }

    public function testAllJobsAreDone(): void
    {
        self::assertGreaterThan(100, count(self::$queued));
        self::assertSame([], array_values(array_diff(self::$queued, self::numbers())));
    }

    public function testTheWorkerIsStillTheSame(): void
    {
        self::assertTrue(self::$worker->isRunning());
        self::$worker->signal(SIGTERM);
        $outcome = self::$worker->wait(20.0);

        self::assertSame(0, $outcome->exitCode, $outcome->stderr);
        foreach (array_filter(explode("\n", $outcome->stderr)) as $line) {
            self::assertMatchesRegularExpression('/^reported HaDsn\\\\/', $line);
        }
    }

    public function testAUserSeesWhatHeHasWrittenAlsoOnReplicasThatAreBehind(): void
    {
        $replicas = array_map(
            static fn(string $node): \PDO => Lab::connect('pgsql:dbname=app;host=' . Lab::address($node), 'postgres', 'postgres'),
            array_values(array_filter(Lab::replicas(), static fn(string $node): bool => $node !== self::$leaders['kill'][0])),
        );
        try {
            foreach ($replicas as $replica) {
                $replica->exec('SELECT pg_wal_replay_pause()');
            }
            $number = ++self::$number;
            [$status, , $cookie] = self::ask('POST', "/orders/$number");
            self::assertSame([200, true], [$status, $cookie !== null]);

            self::assertSame([200, "{\"number\":$number}"], array_slice(self::ask('GET', "/orders/$number", $cookie), 0, 2), 'the same user');
            self::assertSame([200, '{"number":null}'], array_slice(self::ask('GET', "/orders/$number"), 0, 2), 'somebody else');
        } finally {
            foreach ($replicas as $replica) {
                $replica->exec('SELECT pg_wal_replay_resume()');
            }
        }
    }

    /** Goes on working while the leader changes, until that is over. */
    private static function through(string $what, callable $start): void
    {
        $old = Lab::leader();
        $change = $start($old);
        self::work(static fn(): bool => !$change->isRunning());
        self::assertSame(0, $change->wait(60.0)->exitCode);
        $goal = self::written() + 50;
        self::work(static fn(): bool => self::written() >= $goal, 90.0);
        self::$leaders[$what] = [$old, Lab::leader()];
    }

    /** Sends orders and jobs until a condition holds. */
    private static function work(callable $until, float $timeout = 60.0): void
    {
        $deadline = microtime(true) + $timeout;
        do {
            if (microtime(true) > $deadline) {
                self::fail('not in time; the last errors: ' . implode("\n", array_slice(self::$errors, -3)));
            }
            $number = ++self::$number;
            [$status, $answer] = self::ask('POST', "/orders/$number");
            self::$answers[$number] = $status;
            if ($status !== 200) {
                self::$errors[] = json_decode($answer, true)['error'] ?? $answer;
            }
            $job = self::JOBS + $number;
            if (self::ask('POST', "/jobs/$job")[0] === 200) {
                self::$queued[] = $job;
            }
        } while (!$until());
    }

    /** How many orders were reported as written. */
    private static function written(): int
    {
        return count(array_keys(self::$answers, 200, true));
    }

    /** @return array{int, string, string|null} status, answer and cookie */
    private static function ask(string $method, string $path, ?string $cookie = null): array
    {
        $context = stream_context_create(['http' => [
            'method' => $method,
            'timeout' => 60.0,
            'ignore_errors' => true,
            'protocol_version' => 1.0,
            'header' => $cookie === null ? [] : ["Cookie: $cookie"],
        ]]);
        $stream = fopen('http://' . self::$address . $path, 'r', false, $context);
        $answer = (string) stream_get_contents($stream);
        $headers = stream_get_meta_data($stream)['wrapper_data'];
        preg_match('/^Set-Cookie: (session=[^;]+)/mi', implode("\n", $headers), $found);

        return [(int) explode(' ', $headers[0])[1], $answer, $found[1] ?? null];
    }

    private static function tables(): void
    {
        $pdo = Lab::connect('pgsql:dbname=app;host=' . Lab::address(Lab::leader()));
        $pdo->exec('DROP TABLE IF EXISTS orders, jobs');
        $pdo->exec('CREATE TABLE orders (number bigint NOT NULL)');
        // Without a key a second row would not be noticed; jobs may run twice, and have one.
        $pdo->exec('CREATE UNIQUE INDEX ON orders (number) WHERE number >= ' . self::JOBS);
        $pdo->exec('CREATE TABLE jobs (id bigserial PRIMARY KEY, queue text NOT NULL, payload text NOT NULL, attempts int NOT NULL,
            reserved_at int, available_at int NOT NULL, created_at int NOT NULL)');
        $pdo->exec('CREATE INDEX ON jobs (queue)');
    }

    /** @return list<int> */
    private static function numbers(): array
    {
        return self::column('SELECT number FROM orders');
    }

    /** @return list<int> */
    private static function column(string $query): array
    {
        return Lab::connect(\HaDsn::writer())->query($query)->fetchAll(\PDO::FETCH_COLUMN);
    }
}
