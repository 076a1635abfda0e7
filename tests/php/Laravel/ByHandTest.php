<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Laravel\FailoverException;
use HaDsn\Laravel\PostgresConnection;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\TransactionException;
use HaDsn\Verdict;

/**
 * Transactions that are begun or ended by hand: by beginTransaction() and commit(), or by statements that Laravel does not understand.
 */
final class ByHandTest extends LaravelTestCase
{
    public function testATransactionByHandIsNotContinuedOnAnotherConnection(): void
    {
        $db = $this->connection();
        $db->beginTransaction();
        $db->table('entry')->insert(['number' => 1]);
        self::terminate($db->getPdo());

        foreach ([1, 2] as $time) {
            $thrown = self::assertThrows(FailoverException::class, static fn() => $db->table('entry')->insert(['number' => 2]), 'nothing of the statement lasts');
            self::assertSame(Verdict::Retry, $thrown->verdict, "time $time");
        }
        $thrown = self::assertThrows(FailoverException::class, static fn() => $db->commit());
        self::assertSame([Verdict::Retry, 'COMMIT'], [$thrown->verdict, $thrown->getSql()]);

        $db->rollBack();
        self::assertSame(0, $db->transactionLevel());
        $db->table('entry')->insert(['number' => 3]);
        self::assertSame([3], self::entries());
    }

    public function testATransactionThatLaravelKnowsNothingOfIsNotContinuedEither(): void
    {
        $db = $this->connection();
        $db->statement('BEGIN');
        $db->table('entry')->insert(['number' => 1]);
        self::terminate($db->getPdo());

        $thrown = self::assertThrows(FailoverException::class, static fn() => $db->select('SELECT 1', [], false));
        self::assertSame(Verdict::Retry, $thrown->verdict);
        self::assertSame(1, $db->selectOne('SELECT 1 AS one')->one);
        self::assertSame([], self::entries());
    }

    /** @dataProvider ends */
    public function testWorkThatEndsItsTransactionByHandIsToldSo(string $statement, array $entries): void
    {
        $db = $this->connection();
        $runs = 0;
        $work = static function () use ($db, $statement, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
            $db->unprepared($statement);
        };

        self::assertThrows(TransactionException::class, static fn() => $db->transaction($work, 5), 'has ended the transaction itself');

        self::assertSame([1, 0, $entries], [$runs, $db->transactionLevel(), self::entries()]);
        self::assertSame(7, $db->transaction(static fn() => 7));
    }

    /** @return iterable<string, array{string, list<int>}> */
    public static function ends(): iterable
    {
        yield 'COMMIT' => ['COMMIT', [1]];
        yield 'ROLLBACK' => ['ROLLBACK', []];
    }

    /** @dataProvider errors */
    public function testWhatWorkHasCommittedByHandIsNotDoneTwice(callable $fail): void
    {
        $db = $this->connection();
        $runs = 0;
        $work = function () use ($db, $fail, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
            $db->unprepared('COMMIT');
            $db->unprepared('BEGIN');
            $fail($db, $this->network);
        };

        $thrown = self::thrown(static fn() => $db->transaction($work, 5));

        self::assertSame([1, 0, [1]], [$runs, $db->transactionLevel(), self::entries()], $thrown->getMessage());
        self::assertSame(7, $db->transaction(static fn() => 7));
    }

    /** @return iterable<string, array{callable(PostgresConnection, Proxy): mixed}> */
    public static function errors(): iterable
    {
        yield 'the connection is lost' => [static function ($db): void {
            self::terminate($db->getPdo());
            $db->select('SELECT 1');
        }];
        yield 'nobody has noticed that' => [static fn($db) => self::terminate($db->getPdo())];
        yield 'a conflict' => [static fn($db) => $db->unprepared("DO \$\$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END \$\$")];
        yield 'none' => [static fn() => null];
    }

    public function testAWriteBehindACommitByHandIsInDoubt(): void
    {
        $db = $this->connection();
        $db->beginTransaction();
        $db->unprepared('COMMIT');
        $this->network->will(Proxy::CLOSE);

        $thrown = self::assertThrows(FailoverException::class, static fn() => $db->table('entry')->insert(['number' => 1]));

        self::assertSame(Verdict::InDoubt, $thrown->verdict);
        $db->rollBack();
        self::assertSame(0, $db->transactionLevel());
    }

    public function testOneThatWasEndedByHandCanBeRolledBack(): void
    {
        $db = $this->connection();
        $db->beginTransaction();
        $db->unprepared('ROLLBACK');

        self::assertInstanceOf(\PDOException::class, self::thrown(static fn() => $db->commit()));
        $db->rollBack();

        self::assertSame(0, $db->transactionLevel());
    }

    public function testWorkMayEndItsTransactionThroughLaravel(): void
    {
        $db = $this->connection();

        foreach (['rollBack', 'commit'] as $number => $end) {
            $db->transaction(static function () use ($db, $number, $end): void {
                $db->table('entry')->insert(['number' => $number]);
                $db->$end();
            });
            self::assertSame(0, $db->transactionLevel(), $end);
        }

        self::assertSame([1], self::entries());
    }
}
