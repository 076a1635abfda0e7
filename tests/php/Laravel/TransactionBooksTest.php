<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\CommitUnknownException;
use HaDsn\Laravel\FailoverException;
use HaDsn\Laravel\PostgresConnection;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\TransactionException;
use Illuminate\Database\Events\TransactionBeginning;
use Illuminate\Database\Events\TransactionCommitted;
use Illuminate\Database\Events\TransactionCommitting;
use Illuminate\Database\Events\TransactionRolledBack;
use Illuminate\Database\QueryException;

/**
 * What Laravel keeps of transactions beside the connection, when a failover ends them: callbacks, events, the level.
 */
final class TransactionBooksTest extends LaravelTestCase
{
    public function testListenersAreToldOfEachAttempt(): void
    {
        $app = $this->application();
        $db = $app->db()->connection();
        $told = [];
        $app->make('events')->listen([TransactionBeginning::class, TransactionCommitted::class, TransactionRolledBack::class], static function (object $event) use (&$told): void {
            $told[] = (new \ReflectionClass($event))->getShortName() . ' ' . $event->connection->transactionLevel();
        });
        $runs = 0;

        $db->transaction(static function () use ($db, &$runs): void {
            if (++$runs === 1) {
                self::terminate($db->getPdo());
            }
        });

        self::assertSame(['TransactionBeginning 1', 'TransactionRolledBack 0', 'TransactionBeginning 1', 'TransactionCommitted 0'], $told);
    }

    public function testCallbacksOfSavepointsOfALostAttemptDoNotRun(): void
    {
        $db = $this->connection();
        $called = [];
        $runs = 0;
        $calls = static function (string $name) use ($db, &$called): void {
            $db->afterCommit(static function () use (&$called, $name): void {
                $called[] = $name;
            });
        };

        $db->transaction(static function () use ($db, $calls, &$runs): void {
            $run = ++$runs;
            $calls("outer $run");
            $db->transaction(static fn() => $calls("inner $run"));
            $db->transaction(static function () use ($db, $calls, $run): void {
                $calls("second inner $run");
                if ($run === 1) {
                    self::terminate($db->getPdo());
                }
                $db->table('entry')->insert(['number' => $run]);
            });
        });

        sort($called);
        self::assertSame(['inner 2', 'outer 2', 'second inner 2'], $called);
        self::assertSame([2], self::entries());
        $db->afterCommit(static function () use (&$called): void {
            $called[] = 'at once';
        });
        self::assertContains('at once', $called, 'no transaction is left open in the books');
    }

    /** @dataProvider ways */
    public function testCallbacksOfATransactionThatWasAbandonedNeverRun(callable $abandon): void
    {
        $app = $this->application();
        $db = $app->db()->connection();
        $called = [];
        $db->beginTransaction();
        $db->afterCommit(static function () use (&$called): void {
            $called[] = 'abandoned';
        });

        $abandon($app);

        self::assertSame(0, $db->transactionLevel());
        $app->db()->connection()->afterCommit(static function () use (&$called): void {
            $called[] = 'at once';
        });
        $app->db()->connection()->transaction(static fn() => 1);
        self::assertSame(['at once'], $called);
    }

    /** @return iterable<string, array{callable(app\Application): mixed}> */
    public static function ways(): iterable
    {
        yield 'reconnect' => [static fn($app) => $app->db()->reconnect()];
        yield 'disconnect' => [static fn($app) => $app->db()->disconnect()];
        yield 'purge' => [static fn($app) => $app->db()->purge()];
        yield 'the connection is lost, and a worker begins new work' => [static function ($app): void {
            self::terminate($app->db()->connection()->getPdo());
            $app->make('events')->dispatch('Illuminate\Queue\Events\Looping', [null]);
        }];
        yield 'the connection is lost, and a rollback follows' => [static function ($app): void {
            self::terminate($app->db()->connection()->getPdo());
            $app->db()->connection()->rollBack();
        }];
    }

    public function testAReconnectInTheWorkIsNoFailover(): void
    {
        $app = $this->application();
        $db = $app->db()->connection();
        $called = $runs = 0;

        $work = static function () use ($app, $db, &$called, &$runs): void {
            ++$runs;
            $db->table('entry')->insert(['number' => 1]);
            $db->afterCommit(static function () use (&$called): void {
                ++$called;
            });
            $app->db()->reconnect();
            $db->table('entry')->insert(['number' => 2]);
        };

        self::assertThrows(TransactionException::class, static fn() => $db->transaction($work, 5));
        $db->transaction(static fn() => 1);

        self::assertSame([1, 0, [2]], [$runs, $called, self::entries()]);
    }

    public function testAListenerThatFailsDoesNotHideTheDoubt(): void
    {
        $app = $this->application();
        $db = $app->db()->connection();
        $error = new \DomainException('the listener');
        $app->make('events')->listen(TransactionRolledBack::class, static fn() => throw $error);

        $thrown = self::assertThrows(CommitUnknownException::class, fn() => $db->transaction(fn() => $this->network->will(Proxy::CLOSE_AFTER_COMMIT)));

        self::assertInstanceOf(\PDOException::class, $thrown->getPrevious());
        self::assertSame(0, $db->transactionLevel());
        $this->network->will(Proxy::PASS);
        self::assertSame(1, $db->selectOne('SELECT 1 AS one')->one);
    }

    /** Laravel 8 has no such event. */
    public function testAnErrorBeforeTheCommitLeavesNoTransactionOpen(): void
    {
        $app = $this->application();
        $db = $app->db()->connection();
        $app->make('events')->listen(TransactionCommitting::class, static fn() => $db->getPdo()->query('SELECT 1/0'));
        $runs = 0;
        $work = static function () use ($db, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
        };

        if (class_exists(TransactionCommitting::class)) {
            self::assertSame('22012', self::thrown(static fn() => $db->transaction($work))->getCode());
        } else {
            $db->transaction($work);
        }

        self::assertSame([1, 0, false], [$runs, $db->transactionLevel(), $db->getPdo()->inTransaction()]);
        self::assertSame(class_exists(TransactionCommitting::class) ? [] : [1], self::entries());
    }

    public function testACallbackThatFailsAfterTheCommitDoesNotRepeatIt(): void
    {
        $db = $this->connection();
        $runs = 0;

        $work = static function () use ($db, &$runs): void {
            $db->table('entry')->insert(['number' => ++$runs]);
            $db->afterCommit(static fn() => $db->getPdo()->exec("DO \$\$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END \$\$"));
        };

        $thrown = self::thrown(static fn() => $db->transaction($work, 5));

        self::assertSame('40001', $thrown->getCode());
        self::assertSame([1, 0, [1]], [$runs, $db->transactionLevel(), self::entries()]);
    }

    /**
     * Who looks what has become of a write must not look at a replica that is behind.
     *
     * @dataProvider doubts
     */
    public function testAfterADoubtItIsReadFromTheLeader(string $mode, callable $write): void
    {
        $db = $this->connection();
        $db->getPdo();
        $this->network->will($mode);

        $thrown = self::thrown(static fn() => $write($db));

        self::assertTrue($thrown instanceof CommitUnknownException || $thrown instanceof FailoverException, $thrown::class);
        self::assertTrue($db->hasModifiedRecords());
    }

    /** @return iterable<string, array{string, callable(PostgresConnection): mixed}> */
    public static function doubts(): iterable
    {
        yield 'UPDATE' => [Proxy::CLOSE, static fn($db) => $db->update('UPDATE entry SET number = 1')];
        yield 'a SELECT that writes' => [Proxy::CLOSE, static fn($db) => $db->select('WITH written AS (INSERT INTO entry VALUES (1) RETURNING number) SELECT number FROM written', [], false)];
        yield 'COMMIT' => [Proxy::CLOSE_BEFORE_COMMIT, static fn($db) => $db->transaction(static fn() => 1)];
    }

    public function testWhoWantsToHearOfAFailureIsTold(): void
    {
        $db = $this->connection();
        $told = [];

        $tell = static function (\Throwable $e) use (&$told): void {
            $told[] = $e;
        };

        $thrown = self::thrown(static fn() => $db->transaction(static fn() => throw new \DomainException('no'), 1, $tell));

        self::assertSame([$thrown], $told);
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
}
