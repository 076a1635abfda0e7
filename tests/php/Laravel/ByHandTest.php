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

    /** @dataProvider commits */
    public function testACommitByHandWhoseAnswerIsLostIsInDoubt(callable $begin, string $commit): void
    {
        $db = $this->connection();
        $begin($db);
        $db->table('entry')->insert(['number' => 1]);
        $this->network->will(Proxy::CLOSE_AFTER_COMMIT);

        $thrown = self::assertThrows(FailoverException::class, static fn() => $db->unprepared($commit), 'may have been carried out');

        self::assertSame([Verdict::InDoubt, [1]], [$thrown->verdict, self::entries()]);
        $db->rollBack();
        self::assertSame(0, $db->transactionLevel());
    }

    /** @return iterable<string, array{callable(PostgresConnection): mixed, string}> */
    public static function commits(): iterable
    {
        yield 'begun by Laravel' => [static fn($db) => $db->beginTransaction(), 'COMMIT'];
        yield 'begun by hand' => [static fn($db) => $db->unprepared('BEGIN'), 'COMMIT'];
        yield 'in other words' => [static fn($db) => $db->unprepared('BEGIN'), 'commit work;'];
    }

    public function testWorkWhoseCommitByHandIsInDoubtIsNotRepeated(): void
    {
        $db = $this->connection();
        $runs = 0;
        $work = function () use ($db, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
            $this->network->will(Proxy::CLOSE_AFTER_COMMIT);
            $db->unprepared('COMMIT');
        };

        $thrown = self::assertThrows(FailoverException::class, static fn() => $db->transaction($work));

        self::assertSame([Verdict::InDoubt, 1, [1]], [$thrown->verdict, $runs, self::entries()]);
    }

    /** @dataProvider laterErrors */
    public function testWorkThatHasCommittedThroughLaravelIsNotRepeated(callable $fail): void
    {
        $db = $this->connection();
        $runs = 0;
        $work = function () use ($db, $fail, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
            $db->commit();
            $db->beginTransaction();
            $fail($db);
        };

        $thrown = self::thrown(static fn() => $db->transaction($work, 5));

        self::assertSame([1, 0, [1]], [$runs, $db->transactionLevel(), self::entries()], $thrown->getMessage());
        self::assertSame(7, $db->transaction(static fn() => 7));
    }

    /** @return iterable<string, array{callable(PostgresConnection): mixed}> */
    public static function laterErrors(): iterable
    {
        yield 'the connection is lost' => [static fn($db) => self::terminate($db->getPdo())];
        yield 'a conflict' => [static fn($db) => $db->unprepared("DO \$\$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END \$\$")];
        yield 'a conflict at COMMIT' => [static fn($db) => $db->unprepared(<<<'SQL'
            CREATE OR REPLACE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$;
            CREATE CONSTRAINT TRIGGER conflict AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION conflict();
            INSERT INTO entry VALUES (9)
            SQL)];
    }

    public function testABlockOfStatementsIsNotTakenForACommit(): void
    {
        $db = $this->connection();
        $runs = 0;

        $db->transaction(function () use ($db, &$runs): void {
            if (++$runs === 1) {
                $this->network->will(Proxy::CLOSE);
            }
            $db->unprepared('DO $$ BEGIN PERFORM 1; END; $$');
        });

        self::assertSame(2, $runs);
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
