<?php

declare(strict_types=1);

namespace HaDsn\Tests\Hooks;

use HaDsn\CommitUnknownException;
use HaDsn\Laravel\FailoverException;
use HaDsn\Testing\FakeCluster;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Verdict;

/**
 * The leader goes before or after any statement, in any manner, and what a caller is told is compared with what is there. The fates are drawn by lot, and
 * always the same; with HADSN_SEED, a number, they are others.
 */
final class FatesTest extends UnitTestCase
{
    private const ROUNDS = 60;

    private const STATEMENTS = [
        'BEGIN', '/^\s*INSERT/i', '/^SELECT CASE/', '/current_setting/', 'COMMIT', 'SAVEPOINT', 'RELEASE', 'ROLLBACK', '/SELECT 7/', '/SELECT 1\/0/',
        '/SET LOCAL/', '/./s',
    ];

    private const MEMBERS = ['pg1', 'pg2', 'pg3'];

    private const FATES = ['cut', 'terminate', 'switchover', 'crash', 'demote'];

    private static Postgres $server;
    private static FakeCluster $cluster;
    private static Ways $ways;
    private static int $number = 0;

    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/../Laravel/autoload.php';
        require_once __DIR__ . '/../Doctrine/autoload.php';
        self::$server = (new Postgres())->up();
        self::$server->connect()->exec('CREATE TABLE written (number bigint, part int)');
        self::$cluster = FakeCluster::inFrontOf(Postgres::HOST, self::$server->port);
        self::$ways = new Ways(self::$cluster->sources('app', ['failover_timeout' => '3s']));
    }

    public static function tearDownAfterClass(): void
    {
        self::$cluster->stop();
        self::$server->stop();
    }

    /** @dataProvider ways */
    public function testWhatIsToldIsWhatIsThere(string $way): void
    {
        mt_srand((int) getenv('HADSN_SEED') + crc32($way));
        for ($round = 1; $round <= self::ROUNDS; ++$round) {
            $fate = $this->draw();
            $number = ++self::$number;
            self::$ways->callbacks = [];
            $told = self::told(static fn() => self::$ways->all()[$way]($number));
            try {
                self::$cluster->disarm();
            } catch (\LogicException $e) {
                // Two of them met, and nobody was left to lead.
                $fate .= " ({$e->getMessage()})";
            }

            $parts = self::$server->connect()->query("SELECT part FROM written WHERE number = $number ORDER BY part")->fetchAll(\PDO::FETCH_COLUMN);
            $possible = match ($told['outcome']) {
                'written' => [[1, 2]],
                'unknown' => [[1, 2], []],
                'not written' => [[]],
            };
            $what = "round $round: $fate: $told[outcome]: $told[text]";
            self::assertContains($parts, $possible, $what);
            self::assertFalse(self::$ways->isInTransaction(), "$what: a transaction is open");
            if ($way === 'Laravel: transaction()') {
                self::assertSame($told['outcome'] === 'written' ? [$number] : [], self::$ways->callbacks, "$what: what is to be done after COMMIT");
            }
        }
    }

    /** @return iterable<string, array{string}> */
    public static function ways(): iterable
    {
        $ways = ['transaction()', 'nested', 'beginTransaction()', 'BEGIN by hand', 'one statement'];
        foreach (array_map(static fn(string $way): string => "Laravel: $way", $ways) as $way) {
            yield $way => [$way];
        }
        foreach (['Connection: transaction()', 'Connection: nested', 'Connection: run()', 'Doctrine: run()', 'Doctrine: nested'] as $way) {
            yield $way => [$way];
        }
    }

    /** Everything is well again, and then something is to happen. */
    private function draw(): string
    {
        foreach (self::MEMBERS as $member) {
            self::$cluster->startMember($member);
        }
        if (self::$cluster->leader() === null) {
            self::$cluster->elect();
        }
        $statement = self::STATEMENTS[mt_rand(0, \count(self::STATEMENTS) - 1)];
        $fate = self::FATES[mt_rand(0, \count(self::FATES) - 1)];
        $nth = mt_rand(0, 2) === 0 ? mt_rand(2, 3) : 1;
        $isBefore = mt_rand(0, 1) === 0;
        $ambush = $isBefore ? self::$cluster->before($statement, $nth) : self::$cluster->after($statement, $nth);
        $ambush->$fate();
        $text = ($isBefore ? 'before' : 'after') . " the $nth. $statement: $fate";
        // Some meet with a second one.
        if ($statement !== 'COMMIT' && mt_rand(0, 3) === 0) {
            $isBefore = mt_rand(0, 1) === 0;
            $isBefore ? self::$cluster->before('COMMIT')->cut() : self::$cluster->after('COMMIT')->cut();
            $text .= ', and ' . ($isBefore ? 'before' : 'after') . ' COMMIT: cut';
        }

        return $text;
    }

    /** @return array{outcome: 'written'|'not written'|'unknown', text: string} */
    private static function told(\Closure $write): array
    {
        try {
            $write();

            return ['outcome' => 'written', 'text' => ''];
        } catch (\Throwable $e) {
            $isUnknown = match (true) {
                $e instanceof CommitUnknownException => true,
                $e instanceof FailoverException => $e->verdict === Verdict::InDoubt,
                // run() hands on what PDO has thrown when it is not to be repeated.
                default => $e instanceof \PDOException && !$e instanceof \HaDsn\Exception && $e::class === \PDOException::class,
            };

            return ['outcome' => $isUnknown ? 'unknown' : 'not written', 'text' => $e::class . ': ' . $e->getMessage()];
        }
    }
}
