<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Laravel\FailoverException;
use HaDsn\Laravel\PostgresConnection;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Verdict;
use Illuminate\Database\QueryException;

/**
 * What a broken connection does to statements outside of transactions.
 */
final class StatementsTest extends LaravelTestCase
{
    public function testALostQuestionIsAskedAgain(): void
    {
        $db = $this->connection();
        $db->table('entry')->insert(['number' => 7]);
        $this->network->will(Proxy::CLOSE);

        self::assertSame(7, $db->table('entry')->value('number'));
        self::assertFalse($db->getPdo()->inTransaction());
        self::terminate($db->getPdo());
        self::assertSame([7], array_map(static fn(object $row): int => $row->number, iterator_to_array($db->cursor('SELECT number FROM entry'))));
        self::terminate($db->getReadPdo());
        self::assertSame(1, $db->table('entry')->count());
    }

    public function testWhatAQuestionSetsInTheSessionLastsAlsoWhenItWasLost(): void
    {
        $db = $this->connection();
        $db->getReadPdo();
        $this->network->will(Proxy::CLOSE);

        self::assertSame('7', $db->selectOne("SELECT set_config('app.tenant', '7', false) AS tenant")->tenant);
        self::assertSame('7', $db->selectOne("SELECT current_setting('app.tenant', true) AS tenant")->tenant);
        self::assertFalse($db->getReadPdo()->inTransaction());
    }

    public function testALostQuestionIsLoggedOnce(): void
    {
        $db = $this->connection();
        $db->getReadPdo();
        $db->enableQueryLog();
        $this->network->will(Proxy::CLOSE);

        $db->select('SELECT 1');

        self::assertSame(['SELECT 1'], array_column($db->getQueryLog(), 'query'));
    }

    public function testACursorIsNotStartedAgainInTheMiddle(): void
    {
        $db = $this->connection();
        $numbers = [];

        foreach ($db->cursor('SELECT n FROM generate_series(1, 5) AS n') as $row) {
            $numbers[] = $row->n;
            if ($row->n === 2) {
                self::terminate($db->getReadPdo());
                $db->table('entry')->count();
            }
        }

        self::assertSame([1, 2, 3, 4, 5], $numbers);
    }

    public function testWhatIsOnlyPretendedNeedsNoServer(): void
    {
        $db = $this->connection(['hadsn' => self::url(self::deadAddress())]);

        $queries = $db->pretend(static fn() => $db->table('entry')->insert(['number' => 1]));

        self::assertCount(1, $queries);
    }

    /** @dataProvider writes */
    public function testALostWriteIsNotRepeated(callable $write): void
    {
        self::$server->connect()->exec('CREATE OR REPLACE FUNCTION enter(n bigint) RETURNS bigint LANGUAGE sql AS $$ INSERT INTO entry VALUES (n) RETURNING number $$; CREATE SEQUENCE IF NOT EXISTS numbers');
        $db = $this->connection();
        $db->getPdo();
        $this->network->will(Proxy::CLOSE);

        $thrown = self::assertThrows(FailoverException::class, static fn() => $write($db), 'may have been carried out');

        self::assertSame(Verdict::InDoubt, $thrown->verdict);
        self::assertInstanceOf(QueryException::class, $thrown);
        self::assertInstanceOf(\PDOException::class, $thrown->getPrevious());
        self::assertStringContainsString((string) $thrown->getSql(), $thrown->getMessage());
        self::assertSame([], self::entries());
        self::assertTrue($db->table('entry')->insert(['number' => 2]));
        self::assertSame([2], self::entries());
    }

    /** @return iterable<string, array{callable(PostgresConnection): mixed}> */
    public static function writes(): iterable
    {
        yield 'insert' => [static fn(PostgresConnection $db) => $db->table('entry')->insert(['number' => 1])];
        yield 'insertGetId' => [static fn(PostgresConnection $db) => $db->table('entry')->insertGetId(['number' => 1], 'number')];
        yield 'insertOrIgnore' => [static fn(PostgresConnection $db) => $db->table('entry')->insertOrIgnore(['number' => 1])];
        yield 'insertUsing' => [static fn(PostgresConnection $db) => $db->table('entry')->insertUsing(['number'], 'SELECT 1')];
        yield 'upsert' => [static fn(PostgresConnection $db) => $db->table('entry')->upsert([['number' => 1]], ['number'], ['number'])];
        yield 'delete' => [static fn(PostgresConnection $db) => $db->table('entry')->delete()];
        yield 'update' => [static fn(PostgresConnection $db) => $db->update('UPDATE entry SET number = 1')];
        yield 'unprepared' => [static fn(PostgresConnection $db) => $db->unprepared('INSERT INTO entry VALUES (1)')];
        yield 'two statements' => [static fn(PostgresConnection $db) => $db->unprepared('SELECT 1; INSERT INTO entry VALUES (1)')];
        yield 'a function that writes' => [static fn(PostgresConnection $db) => $db->select('SELECT enter(1)', [], false)];
        yield 'WITH' => [static fn(PostgresConnection $db) => $db->select('WITH new AS (INSERT INTO entry VALUES (1) RETURNING number) SELECT * FROM new', [], false)];
        yield 'a sequence' => [static fn(PostgresConnection $db) => $db->select("SELECT setval('numbers', 1)", [], false)];
    }

    public function testOtherErrorsAreWhatTheyWere(): void
    {
        $db = $this->connection();
        $pdo = $db->getPdo();

        foreach (['SELECT 1/0' => '22012', 'SELECT nothing' => '42703'] as $statement => $state) {
            $thrown = self::thrown(static fn() => $db->select($statement, [], false));
            self::assertInstanceOf(QueryException::class, $thrown);
            self::assertNotInstanceOf(FailoverException::class, $thrown);
            self::assertSame($state, $thrown->getCode());
        }
        self::assertSame($pdo, $db->getPdo());
    }
}
