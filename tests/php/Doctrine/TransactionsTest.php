<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use Doctrine\DBAL\Connection;
use Doctrine\DBAL\ConnectionException as DbalConnectionException;
use Doctrine\DBAL\Exception\ConnectionException;
use Doctrine\DBAL\Exception\ConnectionLost;
use Doctrine\DBAL\Exception\DriverException;
use HaDsn;
use HaDsn\CommitUnknownException;
use HaDsn\Connection\SqlState;
use HaDsn\Doctrine\Middleware;
use HaDsn\Doctrine\Transactions;
use HaDsn\Phase;
use HaDsn\Testing\FakeCluster;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\TransactionException;
use HaDsn\Verdict;

/**
 * What becomes of a transaction of Doctrine DBAL: it is there as a whole, and once, or it is said that it is not, or that nobody knows.
 */
final class TransactionsTest extends DoctrineTestCase
{
    public function testOneThatIsLostBeforeCommitIsRunAgain(): void
    {
        $db = self::connection();
        $runs = 0;

        $result = Transactions::run($db, function (Connection $db) use (&$runs): string {
            self::insert($db, ++$runs);
            if ($runs === 1) {
                $this->network->will(Proxy::CLOSE);
            }
            self::insert($db, $runs + 10);

            return "run $runs";
        });

        self::assertSame(['run 2', [2, 12]], [$result, self::entries()]);
        self::assertFalse($db->isTransactionActive());
    }

    public function testALossThatNobodyHasNoticedBeforeCommitIsNoDoubt(): void
    {
        $db = self::connection();
        $runs = 0;

        Transactions::run($db, static function (Connection $db) use (&$runs): void {
            self::insert($db, ++$runs);
            if ($runs === 1) {
                self::terminate($db);
            }
        });

        self::assertSame([2], self::entries());
    }

    public function testAConnectionThatWasLostBeforeIsReplaced(): void
    {
        $db = self::connection();
        self::terminate($db);
        $runs = 0;

        Transactions::run($db, static function (Connection $db) use (&$runs): void {
            self::insert($db, ++$runs);
        });

        self::assertSame([1], self::entries());
    }

    /**
     * @dataProvider commits
     *
     * @param list<int> $entries
     */
    public function testACommitInDoubtIsReportedAndNotRepeated(string $mode, array $entries): void
    {
        $db = self::connection();
        $runs = 0;
        $work = function (Connection $db) use ($mode, &$runs): void {
            ++$runs;
            self::insert($db, 1);
            $this->network->will($mode);
        };

        $thrown = self::assertThrows(CommitUnknownException::class, static fn() => Transactions::run($db, $work));

        self::assertSame(Verdict::InDoubt, HaDsn::verdict($thrown->getPrevious(), Phase::Commit));
        self::assertSame([1, $entries], [$runs, self::entries()]);
        $this->network->will(Proxy::PASS);
        Transactions::run($db, static fn(Connection $db) => self::insert($db, 2));
        self::assertSame([...$entries, 2], self::entries());
    }

    /** @return iterable<string, array{string, list<int>}> */
    public static function commits(): iterable
    {
        yield 'before the server has it' => [Proxy::CLOSE_BEFORE_COMMIT, []];
        yield 'after it was carried out' => [Proxy::CLOSE_AFTER_COMMIT, [1]];
    }

    public function testACommitThatTheServerRefusesIsNoDoubt(): void
    {
        $db = self::connection();
        self::insert($db, 1);
        $runs = 0;
        $work = static function (Connection $db) use (&$runs): void {
            ++$runs;
            self::insert($db, 1);
        };

        $thrown = self::thrown(static fn() => Transactions::run($db, $work));

        self::assertTrue(SqlState::isIn($thrown, '23505'), $thrown->getMessage());
        self::assertNotInstanceOf(CommitUnknownException::class, $thrown);
        self::assertSame([1, [1]], [$runs, self::entries()]);
        Transactions::run($db, static fn(Connection $db) => self::insert($db, 2));
        self::assertSame([1, 2], self::entries());
    }

    public function testAFailureThatTheWorkHasHiddenIsNotCommitted(): void
    {
        $db = self::connection();

        self::assertThrows(TransactionException::class, static fn() => Transactions::run($db, static function (Connection $db): void {
            self::insert($db, 1);
            try {
                $db->fetchOne('SELECT 1/0');
            } catch (DriverException) {
                // Hidden.
            }
        }), 'has failed and the work went on');

        self::assertSame([], self::entries());
        self::assertFalse($db->isTransactionActive());
    }

    public function testWhatFollowsALossThatTheWorkHasHiddenDoesNotRunByItself(): void
    {
        $db = self::connection();
        $runs = 0;
        $losses = [];

        Transactions::run($db, static function (Connection $db) use (&$runs, &$losses): void {
            self::insert($db, ++$runs);
            if ($runs === 1) {
                self::terminate($db);
            }
            foreach ([10, 20] as $number) {
                try {
                    self::insert($db, $runs + $number);
                } catch (DriverException $hidden) {
                    $losses[] = get_class($hidden);
                }
            }
        });

        self::assertSame([ConnectionLost::class, ConnectionLost::class], $losses);
        self::assertSame([2, 12, 22], self::entries());
    }

    public function testALossWithinANestedTransactionRunsTheOutermostAgain(): void
    {
        $db = self::connection();
        $db->setNestTransactionsWithSavepoints(true);
        $runs = 0;

        Transactions::run($db, static function (Connection $db) use (&$runs): void {
            self::insert($db, ++$runs);
            $db->transactional(static function (Connection $db) use ($runs): void {
                if ($runs === 1) {
                    self::terminate($db);
                }
                self::insert($db, $runs + 10);
            });
        });

        self::assertSame([2, 12], self::entries());
    }

    /** @dataProvider hiders */
    public function testARefusalByAServerThatWasDemotedRunsItAgainThoughItWasHidden(callable $hide): void
    {
        $cluster = FakeCluster::inFrontOf(Postgres::HOST, self::$server->port);
        HaDsn::configure($cluster->sources());
        $db = self::connection();
        $runs = 0;
        $cluster->before('INSERT')->demote();

        Transactions::run($db, static function (Connection $db) use ($hide, &$runs): void {
            ++$runs;
            try {
                self::insert($db, 1);
            } catch (DriverException) {
                // Hidden.
            }
            $hide($db);
        });

        self::assertSame([2, [1]], [$runs, self::entries()]);
    }

    /** @return iterable<string, array{callable(Connection): mixed}> */
    public static function hiders(): iterable
    {
        yield 'nothing follows' => [static fn() => null];
        yield 'a statement' => [static fn(Connection $db) => $db->fetchOne('SELECT 1')];
        yield 'a transaction that is not there' => [static function (Connection $db): void {
            if (!$db->isTransactionActive()) {
                $db->rollBack();
            }
        }];
    }

    public function testANestedTransactionMayFailByItself(): void
    {
        $db = self::connection();
        $db->setNestTransactionsWithSavepoints(true);

        Transactions::run($db, static function (Connection $db): void {
            self::insert($db, 1);
            try {
                $db->transactional(static function (Connection $db): void {
                    self::insert($db, 2);
                    $db->fetchOne('SELECT 1/0');
                });
            } catch (DriverException) {
                // The savepoint has undone it.
            }
            self::insert($db, 3);
        });

        self::assertSame([1, 3], self::entries());
    }

    /**
     * @dataProvider mistakes
     *
     * @param callable(Connection): mixed $mistake
     * @param list<int>                   $entries what is left of it
     */
    public function testWorkThatEndsTheTransactionItselfIsToldSo(callable $mistake, string $text, array $entries): void
    {
        $db = self::connection();
        $db->setNestTransactionsWithSavepoints(true);

        self::assertThrows(TransactionException::class, static fn() => Transactions::run($db, static function (Connection $db) use ($mistake): void {
            self::insert($db, 1);
            $mistake($db);
        }), $text);

        self::assertFalse($db->isTransactionActive());
        self::assertSame($entries, self::entries());
        Transactions::run($db, static fn(Connection $db) => self::insert($db, 9));
        self::assertSame([...$entries, 9], self::entries());
    }

    /** @return iterable<string, array{callable(Connection): mixed, string, list<int>}> */
    public static function mistakes(): iterable
    {
        $hasEnded = 'has ended the transaction itself';
        yield 'commit' => [static fn(Connection $db) => $db->commit(), $hasEnded, [1]];
        yield 'rollBack' => [static fn(Connection $db) => $db->rollBack(), $hasEnded, []];
        yield 'commit and another' => [static function (Connection $db): void {
            $db->commit();
            $db->beginTransaction();
            self::insert($db, 2);
        }, $hasEnded, [1]];
        yield 'COMMIT by hand' => [static fn(Connection $db) => $db->executeStatement('COMMIT'), $hasEnded, [1]];
        yield 'close' => [static fn(Connection $db) => $db->close(), $hasEnded, []];
        yield 'a nested one left open' => [static fn(Connection $db) => $db->beginTransaction(), 'has not ended that: nothing was committed', []];
    }

    public function testNestingWithoutSavepointsIsNotMistakenForAnEnd(): void
    {
        $db = self::connection();

        self::assertThrows(TransactionException::class, static fn() => Transactions::run($db, static function (Connection $db): void {
            self::insert($db, 1);
            $db->beginTransaction();
        }), 'nothing was committed');
        Transactions::run($db, static fn(Connection $db) => $db->transactional(static fn(Connection $db) => self::insert($db, 2)));

        self::assertSame([2], self::entries());
    }

    public function testOneThatIsMarkedForRollbackIsNotCommitted(): void
    {
        $db = self::connection();

        self::assertThrows(DbalConnectionException::class, static fn() => Transactions::run($db, static function (Connection $db): void {
            self::insert($db, 1);
            $db->setRollbackOnly();
        }));
        Transactions::run($db, static fn(Connection $db) => self::insert($db, 2));

        self::assertSame([2], self::entries());
    }

    public function testTheMarkIsLostWithTheConnection(): void
    {
        $db = self::connection();
        $runs = 0;

        Transactions::run($db, static function (Connection $db) use (&$runs): void {
            if (++$runs === 1) {
                $db->setRollbackOnly();
                self::terminate($db);
            }
            self::insert($db, $runs);
        });

        self::assertSame([2], self::entries());
    }

    public function testAnApplicationsOwnReadOnlyTransactionIsNotRepeated(): void
    {
        $db = self::connection();
        $runs = 0;
        $work = static function (Connection $db) use (&$runs): void {
            ++$runs;
            $db->executeStatement('SET TRANSACTION READ ONLY');
            self::insert($db, 1);
        };

        $thrown = self::thrown(static fn() => Transactions::run($db, $work));

        self::assertSame([1, true], [$runs, SqlState::isIn($thrown, SqlState::READ_ONLY)]);
    }

    public function testWhatTheWorkThrowsIsThrownAfterARollback(): void
    {
        $db = self::connection();
        $error = new \DomainException('no');
        $work = static function (Connection $db) use ($error): void {
            self::insert($db, 1);
            $db->beginTransaction();
            throw $error;
        };

        self::assertSame($error, self::thrown(static fn() => Transactions::run($db, $work)));

        self::assertSame([false, []], [$db->isTransactionActive(), self::entries()]);
        self::insert($db, 2);
        self::assertSame([2], self::entries());
    }

    public function testATransactionThatIsOpenAlreadyIsRefused(): void
    {
        $work = static fn(Connection $db) => self::insert($db, 1);
        $db = self::connection();
        $db->beginTransaction();
        self::assertThrows(TransactionException::class, static fn() => Transactions::run($db, $work), 'a transaction is open');
        self::assertTrue($db->isTransactionActive());
        $db->rollBack();

        $db->executeStatement('BEGIN');
        self::assertThrows(TransactionException::class, static fn() => Transactions::run($db, $work), 'a transaction is open');
        $db->executeStatement('ROLLBACK');

        self::assertThrows(TransactionException::class, static fn() => Transactions::run($db, static fn($db) => Transactions::run($db, $work)));
        $db->setAutoCommit(false);
        self::assertThrows(TransactionException::class, static fn() => Transactions::run($db, $work), 'auto-commit is off');
        self::assertSame([], self::entries());
    }

    public function testWithoutALeaderItWaitsOnceAndNotTwice(): void
    {
        self::configure($this->patroni, 'failover_timeout=1s');
        $this->patroni->answers(Answer::members());
        HaDsn::invalidate();
        $db = self::connection();

        $seconds = self::seconds(static fn() => self::assertThrows(ConnectionException::class, static fn() => Transactions::run($db, static fn() => 1)));

        self::assertLessThan(1.8, $seconds);
        self::assertFalse($db->isTransactionActive());
    }

    public function testTheClusterIsTheConnectionsOwn(): void
    {
        HaDsn::configure(self::url($this->patroni, 'sslmode=disable&gssencmode=disable'), 'orders');
        HaDsn::configure(self::url(self::deadAddress(), 'failover_timeout=20ms'));
        $db = self::connection(middlewares: [new Middleware('orders')]);
        $runs = 0;

        // The patience of the other cluster would not last until the third time.
        Transactions::run($db, static function (Connection $db) use (&$runs): void {
            if (++$runs < 3) {
                usleep(30_000);
                self::terminate($db);
            }
            self::insert($db, $runs);
        });

        self::assertSame([3], self::entries());
    }

    public function testWithoutTheExtensionItIsDoctrinesOwn(): void
    {
        $port = self::$server->port;
        $host = Postgres::HOST;
        $autoload = var_export(__DIR__ . '/autoload.php', true);
        $code = <<<PHP
            require $autoload;
            \$configuration = new Doctrine\DBAL\Configuration();
            \$configuration->setMiddlewares([new HaDsn\Doctrine\Middleware()]);
            \$db = Doctrine\DBAL\DriverManager::getConnection(
                ['driver' => 'pdo_pgsql', 'user' => 'app', 'password' => 'app', 'dbname' => 'app', 'host' => '$host', 'port' => $port],
                \$configuration,
            );
            \$insert = fn (\$db) => \$db->executeStatement('INSERT INTO entry VALUES (1)');
            echo HaDsn\Doctrine\Transactions::run(\$db, \$insert);
            try {
                HaDsn\Doctrine\Transactions::run(\$db, \$insert);
            } catch (Throwable \$e) {
                echo get_class(\$e);
            }
            PHP;

        $outcome = (new Process([...Php::command([], false), '-r', $code]))->wait(30.0);

        self::assertSame('', $outcome->stderr);
        self::assertMatchesRegularExpression('/^1Doctrine\\\\DBAL\\\\/', $outcome->stdout);
        self::assertSame([1], self::entries());
    }
}
