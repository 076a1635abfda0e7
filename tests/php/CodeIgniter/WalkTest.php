<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use HaDsn\Tests\Support\JsonLines;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;
use HaDsn\Tests\Support\Process;

/**
 * The five minutes of docs/codeigniter.md, word by word, and what becomes of that application when the leader goes: in good
 * order, and by a crash. Besides the front controller, a worker uses one connection all the time.
 */
final class WalkTest extends LabTestCase
{
    protected const SYNCHRONOUS = true;

    private const SITE = 'http://127.0.0.1:8084/index.php';

    private static Application $application;
    private static ?Process $server = null;
    private static ?Process $worker = null;
    private static string $said = '';
    private static int $number = 100;

    /** @var array<int, string> what became of each number, in the application's words */
    private static array $outcomes = [];

    public static function setUpBeforeClass(): void
    {
        parent::setUpBeforeClass();
        self::app()->exec('DROP TABLE IF EXISTS orders, migrations');
        self::$application = new Application();
        // Composer as usual, with this repository in place of the one on the network.
        self::$application->write('composer.json', json_encode([
            'repositories' => [['type' => 'path', 'url' => Application::package()], ['packagist' => false]],
            'minimum-stability' => 'dev',
        ], JSON_THROW_ON_ERROR));
        (new Page())->follow('Five minutes', self::$application, static function (string $command): void {
            $outcome = self::$application->shell($command);
            self::$said .= $outcome->stdout;
            self::assertSame(0, $outcome->exitCode, "$command\n{$outcome->stdout}{$outcome->stderr}");
        }, static function (string $command): void {
            self::$server = self::$application->start($command);
            self::$server->waitFor('~\(http://127\.0\.0\.1:8084\) started~', 20.0, 2);
        });
        self::startWorker();
    }

    public static function tearDownAfterClass(): void
    {
        self::$worker?->stop();
        self::$server?->stop();
        self::app()->exec('DROP TABLE IF EXISTS orders, migrations');
    }

    public function testTheFiveMinutesGiveAWorkingApplication(): void
    {
        self::assertMatchesRegularExpression('~\| pg\d +\| leader~', self::$said);
        self::assertMatchesRegularExpression('~^pg\d leads~m', self::$said);
        // A replica may be a moment behind.
        self::assertMatchesRegularExpression('~\{"written":1\}\{"rows":[02]\}$~', self::$said, self::$application->log());
    }

    /** @depends testTheFiveMinutesGiveAWorkingApplication */
    public function testThroughASwitchover(): void
    {
        $old = Lab::leader();
        $this->holdTheWorkerInATransaction();
        $switchover = Lab::start('switchover');
        $this->ordersUntilTheyGoTo(static fn(): bool => !$switchover->isRunning());
        self::assertSame(0, $switchover->wait(60.0)->exitCode);
        $this->letTheWorkerGoOn();

        $this->assertNothingIsHalfWritten();
        self::assertNotSame($old, Lab::leader());
        Lab::run('start', $old, '--wait');
    }

    /** @depends testThroughASwitchover */
    public function testThroughACrashOfTheLeader(): void
    {
        $old = Lab::leader();
        // Until there is one, Patroni promotes nobody in place of a leader that dies.
        self::await(static function (): bool {
            \HaDsn::invalidate();

            return in_array('sync_standby', array_column(\HaDsn::topology()->members, 'role'), true);
        }, 'a replica is synchronous');
        $this->holdTheWorkerInATransaction();
        Lab::run('kill', $old);
        // Reads go on while nobody leads.
        self::assertSame(200, self::ask('GET', 'count')[0]);
        $this->ordersUntilTheyGoTo(static fn(): bool => Lab::status()['leader'] !== null);
        $this->letTheWorkerGoOn();

        $this->assertNothingIsHalfWritten();
        self::assertNotSame($old, Lab::leader());
        Lab::run('start', $old, '--wait');
    }

    /** Writes notes and orders through the front controller, until the lab has a new leader, and then some more. */
    private function ordersUntilTheyGoTo(callable $isThere): void
    {
        $deadline = microtime(true) + 90.0;
        for ($rest = 20; $rest > 0;) {
            self::assertLessThan($deadline, microtime(true), 'the application writes again');
            $number = ++self::$number;
            [$status, $answer] = self::ask('POST', ($number % 2 === 0 ? 'note/' : 'place/') . $number);
            self::$outcomes[$number] = match (true) {
                $status === 200 && $answer === ['written' => $number] => 'written',
                $status === 503 && $answer === ['unknown' => $number] => 'unknown',
                $status === 500 => 'failed',
                default => self::fail("an answer that makes no sense: $status " . json_encode($answer)),
            };
            if (self::$outcomes[$number] === 'written' && ($rest < 20 || $isThere())) {
                --$rest;
            }
        }
    }

    private function assertNothingIsHalfWritten(): void
    {
        // First what the worker says: it goes on meanwhile.
        $report = self::report();
        $rows = self::rows();
        foreach (self::$outcomes as $number => $outcome) {
            $whole = $number % 2 === 0 ? [0] : [1, 2];
            $found = $rows[$number] ?? [];
            match ($outcome) {
                'written' => self::assertSame($whole, $found, "order $number was acknowledged"),
                // A single statement whose answer was lost may be there. Two rows are there together.
                default => self::assertContains($found, [[], $whole], "order $number: $outcome"),
            };
        }
        // The worker's, which are placed one after the other and reported in its own words.
        foreach ($report as $turn) {
            $found = $rows[$turn['number']] ?? [];
            match ($turn['outcome']) {
                'written' => self::assertSame([1, 2], $found, "order $turn[number] was acknowledged"),
                default => self::assertContains($found, [[], [1, 2]], $turn['outcome']),
            };
        }
    }

    private function holdTheWorkerInATransaction(): void
    {
        self::$application->write('hold', '');
        self::await(static fn(): bool => is_file(self::$application->path . '/held'), 'the worker waits in a transaction');
    }

    /** The transaction that was open meanwhile is lost, and done again. */
    private function letTheWorkerGoOn(): void
    {
        $before = count(self::report());
        unlink(self::$application->path . '/hold');
        self::await(static fn(): bool => count(self::report()) >= $before + 20, 'the worker goes on');
        $held = self::report()[$before];

        self::assertSame('written', $held['outcome']);
        self::assertContains('HaDsn\CodeIgniter\TransactionLostException', $held['losses']);
        self::assertTrue(self::$worker->isRunning());
    }

    private static function startWorker(): void
    {
        self::$application->write('app/Commands/Worker.php', (string) file_get_contents(__DIR__ . '/Worker.php.txt'));
        self::$worker = self::$application->start('php spark worker --no-header');
        self::await(static fn(): bool => count(self::report()) >= 10, 'the worker works');
    }

    /** @return list<array{number: int, outcome: string, losses: list<string>}> */
    private static function report(): array
    {
        return JsonLines::read(self::$application->path . '/report');
    }

    /** @return array{int, mixed} status and answer */
    private static function ask(string $method, string $path): array
    {
        $context = stream_context_create(['http' => ['method' => $method, 'timeout' => 60.0, 'ignore_errors' => true, 'protocol_version' => 1.0]]);
        $answer = (string) file_get_contents(self::SITE . "/$path", false, $context);

        return [(int) explode(' ', $http_response_header[0])[1], json_decode($answer, true)];
    }

    /** @return array<int, list<int>> the lines of each order */
    private static function rows(): array
    {
        $rows = [];
        foreach (self::app()->query('SELECT number, line FROM orders ORDER BY number, line') as $row) {
            $rows[$row['number']][] = $row['line'];
        }

        return $rows;
    }

    private static function app(): \PDO
    {
        \HaDsn::configure(Lab::URL);
        \HaDsn::invalidate();

        return Lab::connect(\HaDsn::writer());
    }
}
