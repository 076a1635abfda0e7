<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use HaDsn\Tests\Support\FpmSite;
use HaDsn\Tests\Support\JsonLines;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\Reply;
use HaDsn\Tests\Support\Request;
use HaDsn\Tests\Support\WalkTestCase;

/**
 * The five minutes of docs/codeigniter.md, word by word. Besides the front controller, a worker uses one connection all the time, and is in the middle of
 * a transaction whenever the leader goes.
 */
final class WalkTest extends WalkTestCase
{
    private static Application $application;
    private static Process $worker;

    /** @var array<string, array{number: int, outcome: string, losses: list<string>}> what became of that transaction, by what was done */
    private static array $held = [];

    /** @var array<string, Reply> what a replica said when the leader had gone, by what was done */
    private static array $reads = [];

    /** How much the worker had reported before. */
    private static int $reported;

    protected static function build(): FpmSite
    {
        self::app()->exec('DROP TABLE IF EXISTS orders, migrations');
        self::$application = new Application();
        (new Page('codeigniter.md'))->follow('Five minutes', self::$application);
        self::$application->stop();
        // The page's own order has the number of the first visitor's.
        self::app()->exec('DELETE FROM orders');
        self::$application->write('app/Commands/Worker.php', (string) file_get_contents(__DIR__ . '/Worker.php.txt'));
        self::$worker = self::$application->start('php spark worker --no-header');
        self::await(static fn(): bool => count(self::report()) >= 10, 'the worker works');

        return new FpmSite(self::$application->path . '/public', ini: Application::INI);
    }

    protected static function request(int $number): Request
    {
        return self::$site->request('POST', (self::isNote($number) ? 'note/' : 'place/') . $number);
    }

    protected static function outcome(int $number, Reply $reply): ?string
    {
        return match (true) {
            $reply->status === 200 && $reply->json() === ['written' => $number] => self::WRITTEN,
            $reply->status === 503 && $reply->json() === ['unknown' => $number] => self::UNKNOWN,
            // CodeIgniter's own page for an exception.
            $reply->status === 500 => self::isNote($number) ? self::FAILED : self::NOT_WRITTEN,
            default => null,
        };
    }

    protected static function whole(int $number): int
    {
        return self::isNote($number) ? 1 : 2;
    }

    protected static function rows(): array
    {
        return array_count_values(self::column('SELECT number FROM orders'));
    }

    /** From then on the worker waits in a transaction. */
    protected static function before(string $change): void
    {
        self::$application->write('hold', '');
        self::await(static fn(): bool => is_file(self::$application->path . '/held'), 'the worker waits in a transaction');
        self::$reported = count(self::report());
    }

    protected static function during(string $change): void
    {
        self::$reads[$change] = self::$site->ask('GET', 'count');
    }

    protected static function after(string $change): void
    {
        unlink(self::$application->path . '/hold');
        self::await(static fn(): bool => count(self::report()) >= self::$reported + 20, 'the worker goes on');
        self::$held[$change] = self::report()[self::$reported];
    }

    protected static function finish(): void
    {
        self::assertTrue(self::$worker->isRunning(), 'the worker is still the same');
        self::$worker->stop();
    }

    public static function tearDownAfterClass(): void
    {
        self::$worker->stop();
        parent::tearDownAfterClass();
        self::app()->exec('DROP TABLE IF EXISTS orders, migrations');
    }

    public function testTheFiveMinutesGiveAWorkingApplication(): void
    {
        self::assertMatchesRegularExpression('~\| pg\d +\| leader~', self::$application->said());
        self::assertMatchesRegularExpression('~^pg\d leads~m', self::$application->said());
        // A replica may be a moment behind.
        self::assertMatchesRegularExpression('~\{"written":1\}\{"rows":[02]\}$~', self::$application->said(), self::$application->log());
    }

    public function testATransactionThatWasOpenMeanwhileIsLostAndDoneAgain(): void
    {
        foreach (self::$leaders as $change => $_) {
            self::assertSame('written', self::$held[$change]['outcome'], $change);
            self::assertContains('HaDsn\CodeIgniter\TransactionLostException', self::$held[$change]['losses'], $change);
        }
    }

    public function testTheWorkerHasHalfWrittenNothing(): void
    {
        $lines = array_count_values(self::column('SELECT number FROM orders'));
        self::assertGreaterThan(100, count(self::report()));
        foreach (self::report() as $turn) {
            self::assertContains($lines[$turn['number']] ?? 0, $turn['outcome'] === 'written' ? [2] : [0, 2], $turn['outcome']);
        }
    }

    public function testReadsGoOnWhileNobodyLeads(): void
    {
        foreach (self::$reads as $change => $reply) {
            self::assertSame(200, $reply->status, "$change: $reply");
            self::assertGreaterThan(50, $reply->json()['rows'], $change);
        }
    }

    private static function isNote(int $number): bool
    {
        return $number % 2 === 0;
    }

    /** @return list<array{number: int, outcome: string, losses: list<string>}> */
    private static function report(): array
    {
        return JsonLines::read(self::$application->path . '/report');
    }
}
