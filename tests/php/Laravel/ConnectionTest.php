<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\CommitUnknownException;
use HaDsn\Laravel\FailoverException;
use HaDsn\Laravel\PostgresConnection;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\TransactionException;
use HaDsn\Verdict;
use Illuminate\Database\DetectsLostConnections;
use Illuminate\Database\Events\TransactionCommitted;
use Illuminate\Database\PostgresConnection as LaravelConnection;
use Illuminate\Database\QueryException;

/**
 * What a broken connection does to statements and transactions of Laravel.
 */
final class ConnectionTest extends LaravelTestCase
{
    public function testItConnectsWithoutAHost(): void
    {
        $db = $this->connection(['host' => null]);

        $session = $db->selectOne("SELECT inet_server_port() AS port, current_user AS name, current_setting('client_encoding') AS encoding, current_database() AS base");

        self::assertSame([self::$server->port, 'app', 'UTF8', 'app'], array_values((array) $session));
        self::assertSame('public', trim($db->selectOne("SELECT current_setting('search_path') AS path")->path, '"'));
    }

    public function testAnUnusedConnectionIsReplacedBeforeTheNextStatement(): void
    {
        $db = $this->connection();
        self::terminate($db->getPdo());
        // For a second it is believed what the server has said of itself.
        usleep(1_100_000);

        self::assertTrue($db->table('entry')->insert(['number' => 1]));
        self::assertSame([1], self::entries());
    }

    public function testOneThatIsKnownToBeLostIsReplacedAtOnce(): void
    {
        $db = $this->connection();
        $pdo = $db->getPdo();
        self::terminate($pdo);
        self::thrown(static fn() => $pdo->query('SELECT 1'));

        self::assertTrue($db->table('entry')->insert(['number' => 1]));
        self::assertNotSame($pdo, $db->getPdo());
    }

    public function testALostQuestionIsAskedAgain(): void
    {
        $db = $this->connection();
        $db->table('entry')->insert(['number' => 7]);
        $this->network->will(Proxy::CLOSE_ONCE);

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
        $this->network->will(Proxy::CLOSE_ONCE);

        self::assertSame('7', $db->selectOne("SELECT set_config('app.tenant', '7', false) AS tenant")->tenant);
        self::assertSame('7', $db->selectOne("SELECT current_setting('app.tenant', true) AS tenant")->tenant);
        self::assertFalse($db->getReadPdo()->inTransaction());
    }

    public function testALostQuestionIsLoggedOnce(): void
    {
        $db = $this->connection();
        $db->getReadPdo();
        $db->enableQueryLog();
        $this->network->will(Proxy::CLOSE_ONCE);

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
        $this->network->will(Proxy::CLOSE_ONCE);

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

    public function testAFailoverIsNoReasonForAWorkerToEnd(): void
    {
        $worker = new class {
            use DetectsLostConnections;

            public function ends(\Throwable $e): bool
            {
                return $this->causedByLostConnection($e);
            }
        };
        $db = $this->connection();
        $db->getPdo();
        $this->network->will(Proxy::CLOSE_ONCE);
        $thrown = self::thrown(static fn() => $db->table('entry')->insert(['number' => 1]));

        self::assertFalse($worker->ends($thrown));
        self::assertTrue($worker->ends($thrown->getPrevious()));
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

    public function testATransactionThatIsLostBeforeCommitRunsAgain(): void
    {
        $db = $this->connection();
        $runs = 0;

        $result = $db->transaction(function () use ($db, &$runs): string {
            $db->table('entry')->insert(['number' => ++$runs]);
            if ($runs === 1) {
                $this->network->will(Proxy::CLOSE_ONCE);
            }
            $db->table('entry')->insert(['number' => $runs + 10]);

            return "run $runs";
        });

        self::assertSame('run 2', $result);
        self::assertSame([2, 12], self::entries());
        self::assertSame(0, $db->transactionLevel());
    }

    public function testALossThatNobodyHasNoticedBeforeCommitIsNoDoubt(): void
    {
        $db = $this->connection();
        $runs = 0;

        $db->transaction(static function () use ($db, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
            if ($runs === 1) {
                self::terminate($db->getPdo());
            }
        });

        self::assertSame([2], self::entries());
    }

    public function testALossInASavepointRunsTheOutermostAgain(): void
    {
        $db = $this->connection();
        $runs = 0;

        $db->transaction(static function () use ($db, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
            try {
                $db->transaction(static function () use ($db, $runs): void {
                    if ($runs === 1) {
                        self::terminate($db->getPdo());
                    }
                    $db->table('entry')->insert(['number' => $runs + 10]);
                });
            } catch (QueryException) {
                // Goes on, as if it were the coupon that was missing.
            }
        });

        self::assertSame([2, [2, 12]], [$runs, self::entries()]);
    }

    /**
     * @dataProvider commits
     *
     * @param list<int> $entries
     */
    public function testACommitInDoubtIsReportedAndNotRepeated(string $mode, array $entries): void
    {
        $db = $this->connection();
        $runs = 0;

        $work = function () use ($db, $mode, &$runs): void {
            ++$runs;
            $db->table('entry')->insert(['number' => 1]);
            $this->network->will($mode);
        };

        $thrown = self::assertThrows(CommitUnknownException::class, static fn() => $db->transaction($work));

        self::assertInstanceOf(\PDOException::class, $thrown->getPrevious());
        self::assertSame([1, 0, $entries], [$runs, $db->transactionLevel(), self::entries()]);
        $this->network->will(Proxy::PASS);
        $db->transaction(static fn() => $db->table('entry')->insert(['number' => 2]));
        self::assertSame([...$entries, 2], self::entries());
    }

    /** @dataProvider commits */
    public function testSoIsOneByHand(string $mode, array $entries): void
    {
        $db = $this->connection();
        $db->beginTransaction();
        $db->table('entry')->insert(['number' => 1]);
        $this->network->will($mode);

        self::assertThrows(CommitUnknownException::class, static fn() => $db->commit());

        $db->rollBack();
        self::assertSame([0, $entries], [$db->transactionLevel(), self::entries()]);
    }

    /** @return iterable<string, array{string, list<int>}> */
    public static function commits(): iterable
    {
        yield 'before the server has it' => [Proxy::CLOSE_BEFORE_COMMIT, []];
        yield 'after it was carried out' => [Proxy::CLOSE_AFTER_COMMIT, [1]];
    }

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

    public function testAFailureThatTheWorkHasHiddenIsNotCommitted(): void
    {
        $db = $this->connection();

        self::assertThrows(TransactionException::class, static fn() => $db->transaction(static function () use ($db): void {
            $db->table('entry')->insert(['number' => 1]);
            try {
                $db->select('SELECT 1/0');
            } catch (QueryException) {
                // Hidden.
            }
        }));
        self::assertSame([0, []], [$db->transactionLevel(), self::entries()]);
    }

    public function testACommitThatTheServerRefusesIsNoDoubt(): void
    {
        $db = $this->connection();
        $db->table('entry')->insert(['number' => 1]);

        $thrown = self::thrown(static fn() => $db->transaction(static fn() => $db->table('entry')->insert(['number' => 1])));

        self::assertInstanceOf(\PDOException::class, $thrown);
        self::assertSame('23505', $thrown->getCode());
        self::assertSame(0, $db->transactionLevel());
        $db->beginTransaction();
        $db->table('entry')->insert(['number' => 1]);
        self::assertSame('23505', self::thrown(static fn() => $db->commit())->getCode());
        $db->rollBack();
        self::assertSame([0, [1]], [$db->transactionLevel(), self::entries()]);
    }

    public function testConflictsAreRepeatedAsOftenAsTheyMay(): void
    {
        $db = $this->connection();
        $runs = 0;
        $work = static function () use ($db, &$runs): int {
            ++$runs;
            if ($runs < 3) {
                $db->unprepared("DO \$\$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END \$\$");
            }

            return $runs;
        };

        self::assertSame(3, $db->transaction($work, 3));
        $runs = 0;
        self::assertSame('40001', self::thrown(static fn() => $db->transaction($work))->getCode());
        self::assertSame([1, 0], [$runs, $db->transactionLevel()]);
    }

    public function testWhatTheWorkThrowsIsThrownAfterARollback(): void
    {
        $db = $this->connection();
        $error = new \DomainException('no');

        self::assertSame($error, self::thrown(static fn() => $db->transaction(static function () use ($db, $error): void {
            $db->table('entry')->insert(['number' => 1]);
            throw $error;
        })));
        self::assertSame([0, []], [$db->transactionLevel(), self::entries()]);
        self::assertFalse($db->getPdo()->inTransaction());
    }

    public function testAnApplicationsOwnReadOnlyTransactionIsNoFailover(): void
    {
        $db = $this->connection();
        $runs = 0;

        $work = static function () use ($db, &$runs): void {
            ++$runs;
            $db->statement('SET TRANSACTION READ ONLY');
            $db->table('entry')->insert(['number' => 1]);
        };

        $thrown = self::thrown(static fn() => $db->transaction($work));

        self::assertSame([1, '25006', 0], [$runs, $thrown->getCode(), $db->transactionLevel()]);
        self::assertFalse($db->getPdo()->inTransaction());
    }

    public function testAListenerThatFailsAfterTheCommitDoesNotRepeatIt(): void
    {
        $app = $this->application();
        $db = $app->db()->connection();
        $app->make('events')->listen(TransactionCommitted::class, static fn() => $db->select('SELECT 1/0'));
        $runs = 0;

        $work = static function () use ($db, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
        };

        $thrown = self::thrown(static fn() => $db->transaction($work, 5));

        self::assertInstanceOf(QueryException::class, $thrown);
        self::assertSame([1, 0, [1]], [$runs, $db->transactionLevel(), self::entries()]);
    }

    public function testCallbacksAfterTheCommitRunOnceAndOnlyThen(): void
    {
        $db = $this->connection();
        $called = [];
        $runs = 0;
        $db->transaction(static function () use ($db, &$runs, &$called): void {
            $run = ++$runs;
            $db->afterCommit(static function () use (&$called, $run): void {
                $called[] = $run;
            });
            if ($run === 1) {
                self::terminate($db->getPdo());
            }
        });
        self::assertSame([2], $called);

        $doubtful = function () use ($db, &$called): void {
            $db->afterCommit(static function () use (&$called): void {
                $called[] = 'in doubt';
            });
            $this->network->will(Proxy::CLOSE_BEFORE_COMMIT);
        };
        self::assertThrows(CommitUnknownException::class, static fn() => $db->transaction($doubtful));
        $this->network->will(Proxy::PASS);
        $db->transaction(static fn() => 1);
        self::assertSame([2], $called);
    }

    public function testATransactionThatSomebodyLeftOpenEndsWhereNewWorkBegins(): void
    {
        $app = $this->application();
        $db = $app->db()->connection();
        $db->beginTransaction();
        $app->make('events')->dispatch('Illuminate\Queue\Events\Looping', [null]);
        self::assertSame(1, $db->transactionLevel());
        self::terminate($db->getPdo());

        $app->make('events')->dispatch('Illuminate\Queue\Events\Looping', [null]);

        self::assertSame(0, $db->transactionLevel());
        self::assertTrue($db->table('entry')->insert(['number' => 1]));
    }

    public function testADisconnectedConnectionIsClosed(): void
    {
        $db = $this->connection();
        $pid = $db->selectOne('SELECT pg_backend_pid() AS pid')->pid;
        $db->getPdo();
        $admin = self::$server->connect('postgres');

        $db->disconnect();

        self::await(static fn(): bool => $admin->query("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid")->fetchColumn() === 0, 'the backend is gone');
        self::assertSame(1, $db->selectOne('SELECT 1 AS one')->one);
    }

    public function testAWrongPasswordIsThrownAtOnceAndToldToNobody(): void
    {
        $db = $this->connection(['password' => 'hunter2']);

        $thrown = null;
        $seconds = self::seconds(static function () use ($db, &$thrown): void {
            $thrown = self::thrown(static fn() => $db->select('SELECT 1'));
        });

        self::assertLessThan(self::SOON, $seconds);
        self::assertInstanceOf(QueryException::class, $thrown);
        self::assertStringContainsString('password authentication failed', $thrown->getMessage());
        self::assertStringNotContainsString('hunter2', $thrown->getMessage());
    }

    public function testWithoutALeaderItIsSaidSo(): void
    {
        $db = $this->connection(['hadsn' => self::url(self::deadAddress(), 'timeout=500ms&failover_timeout=500ms')]);

        $thrown = self::assertThrows(FailoverException::class, static fn() => $db->table('entry')->insert(['number' => 1]));
        self::assertSame(Verdict::Retry, $thrown->verdict);
        self::assertInstanceOf(\HaDsn\Exception::class, $thrown->getPrevious());
        self::assertInstanceOf(\HaDsn\Exception::class, self::thrown(static fn() => $db->transaction(static fn() => 1)));
        self::assertSame(0, $db->transactionLevel());
    }

    public function testAConnectionWithoutTheKeyIsLaravelsOwn(): void
    {
        $db = $this->application(['hadsn' => null, 'host' => Postgres::HOST, 'port' => self::$server->port])->db()->connection();

        self::assertSame(LaravelConnection::class, $db::class);
        self::assertSame(self::$server->port, $db->selectOne('SELECT inet_server_port() AS port')->port);
    }

    public function testHostsAreNotUsed(): void
    {
        $db = $this->connection(['host' => ['192.0.2.1', '192.0.2.2'], 'port' => 1, 'read' => ['host' => '192.0.2.3'], 'write' => ['host' => ['192.0.2.4']]]);

        self::assertLessThan(self::SOON, self::seconds(static fn() => self::assertSame(1, $db->selectOne('SELECT 1 AS one')->one)));
    }

    public function testTheReadAndWriteSideOfAConnection(): void
    {
        $db = $this->application()->db();

        self::assertSame(1, $db->connection('pgsql::read')->selectOne('SELECT 1 AS one')->one);
        self::assertTrue($db->connection('pgsql::write')->table('entry')->insert(['number' => 1]));
        self::terminate($db->connection('pgsql::write')->getPdo());
        self::terminate($db->connection('pgsql::read')->getPdo());
        self::assertSame(1, $db->connection('pgsql::write')->table('entry')->count());
        self::assertSame(1, $db->connection('pgsql::read')->table('entry')->count());
    }
}
