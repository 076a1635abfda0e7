<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\TransactionException;
use HaDsn\Tests\Support\Lab;
use PDO;

/**
 * Connection::transaction() on a cluster whose leader stays.
 */
final class TransactionTest extends ConnectionTestCase
{
    protected function tearDown(): void
    {
        parent::tearDown();
        self::elsewhere()->exec('DROP FUNCTION IF EXISTS entry_refuse()');
    }

    public function testItCommitsAndReturnsWhatTheWorkReturns(): void
    {
        $result = self::connection()->transaction(static function (PDO $pdo): string {
            self::assertTrue($pdo->inTransaction());
            self::insert($pdo, 1);
            self::insert($pdo, 2);

            return 'done';
        });

        self::assertSame('done', $result);
        self::assertSame([1, 2], self::entries());
    }

    public function testWhatTheWorkThrowsIsThrownAsItIsAfterARollback(): void
    {
        $db = self::connection();
        $mine = new \DomainException('not today');

        self::assertSame($mine, self::thrown(static fn() => $db->transaction(static function (PDO $pdo) use ($mine): void {
            self::insert($pdo, 1);
            throw $mine;
        })));
        self::assertFalse($db->writer()->inTransaction());
        self::assertSame([], self::entries());
    }

    public function testAFailedStatementIsThrownAsItIs(): void
    {
        $db = self::connection();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            self::insert($pdo, 1);
            self::insert($pdo, 1);
        };

        self::assertSqlState('23505', self::thrown(static fn() => $db->transaction($work)));
        self::assertSame(1, $runs);
        self::assertSame([], self::entries());
    }

    public function testTheWorkMayBeginWithSetTransaction(): void
    {
        $level = self::connection()->transaction(static function (PDO $pdo): string {
            $pdo->exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');

            return Lab::ask($pdo, 'SHOW transaction_isolation');
        });

        self::assertSame('serializable', $level);
    }

    public function testItRunsAgainWhenItsConnectionIsLost(): void
    {
        $db = self::connection();
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use (&$runs): void {
            self::insert($pdo, 1);
            if (++$runs <= 2) {
                $pdo->exec(self::END_OF_THIS_CONNECTION);
            }
            self::insert($pdo, 2);
        });

        self::assertSame(3, $runs);
        self::assertSame([1, 2], self::entries());
    }

    public function testItRunsAgainWhenItsConnectionIsLostAfterItsLastStatement(): void
    {
        $db = self::connection();
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use (&$runs): void {
            self::insert($pdo, 1);
            if (++$runs === 1) {
                self::terminate($pdo);
            }
        });

        self::assertSame(2, $runs);
        self::assertSame([1], self::entries());
    }

    public function testItRunsAgainWhenTheWorkHidesThatItsConnectionIsLost(): void
    {
        $db = self::connection();
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use (&$runs): void {
            self::insert($pdo, 1);
            if (++$runs === 1) {
                self::assertLost(self::thrown(static fn() => $pdo->exec(self::END_OF_THIS_CONNECTION)));
            }
        });

        self::assertSame(2, $runs);
        self::assertSame([1], self::entries());
    }

    public function testAConnectionThatBrokeWhileNobodyUsedItIsNoTroubleForTheNextTransaction(): void
    {
        $db = self::connection();
        self::terminate($db->writer());

        $db->transaction(static fn(PDO $pdo) => self::insert($pdo, 1));

        self::assertSame([1], self::entries());
    }

    public function testRepeatsEndWithTheFailoverTimeout(): void
    {
        \HaDsn::configure(Lab::URL . '?failover_timeout=1s');
        $db = self::connection();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->exec(self::END_OF_THIS_CONNECTION);
        };

        $seconds = self::seconds(static fn() => self::assertLost(self::thrown(static fn() => $db->transaction($work))));

        self::assertGreaterThan(2, $runs);
        self::assertGreaterThan(0.9, $seconds);
        self::assertLessThan(4.0, $seconds);
    }

    public function testAReadOnlyTransactionOfTheApplicationIsNoFailover(): void
    {
        $db = self::connection();
        $pdo = $db->writer();
        \HaDsn::writer();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->exec('SET TRANSACTION READ ONLY');
            self::insert($pdo, 1);
        };

        self::assertSqlState('25006', self::thrown(static fn() => $db->transaction($work)));
        self::assertSame(1, $runs);
        self::assertSame($pdo, $db->writer(), 'the connection is as good as before');
        self::assertSame('fresh', \HaDsn::status()['clusters']['default']['state']);
    }

    public function testAnInnerTransactionThatFailsIsUndoneAlone(): void
    {
        $db = self::connection();

        $db->transaction(static function (PDO $pdo) use ($db): void {
            self::insert($pdo, 1);
            self::assertSqlState('23505', self::thrown(static fn() => $db->transaction(static function (PDO $inner) use ($pdo): void {
                self::assertSame($pdo, $inner);
                self::insert($inner, 2);
                self::insert($inner, 1);
            })));
            $db->transaction(static function (PDO $pdo) use ($db): void {
                self::insert($pdo, 3);
                $db->transaction(static fn(PDO $pdo) => self::insert($pdo, 4));
                self::thrown(static fn() => $db->transaction(static function (PDO $pdo): void {
                    self::insert($pdo, 5);
                    throw new \DomainException('not today');
                }));
            });
            self::insert($pdo, 6);
        });

        self::assertSame([1, 3, 4, 6], self::entries());
    }

    public function testAnInnerFailureThatNobodyCatchesUndoesEverything(): void
    {
        $db = self::connection();
        $mine = new \DomainException('not today');

        self::assertSame($mine, self::thrown(static fn() => $db->transaction(static function (PDO $pdo) use ($db, $mine): void {
            self::insert($pdo, 1);
            $db->transaction(static fn() => throw $mine);
        })));
        self::assertSame([], self::entries());
    }

    /**
     * @dataProvider waysToTakeAnInnerFailure
     */
    public function testALossInAnInnerTransactionRunsEverythingAgain(bool $isCaught): void
    {
        $db = self::connection();
        $runs = $innerRuns = 0;

        $db->transaction(static function (PDO $pdo) use ($db, $isCaught, &$runs, &$innerRuns): void {
            ++$runs;
            self::insert($pdo, 1);
            try {
                $db->transaction(static function (PDO $pdo) use (&$innerRuns): void {
                    self::insert($pdo, 2);
                    if (++$innerRuns === 1) {
                        $pdo->exec(self::END_OF_THIS_CONNECTION);
                    }
                });
            } catch (\PDOException $e) {
                if (!$isCaught) {
                    throw $e;
                }
            }
        });

        self::assertSame([2, 2], [$runs, $innerRuns]);
        self::assertSame([1, 2], self::entries());
    }

    /** @return iterable<string, array{bool}> */
    public static function waysToTakeAnInnerFailure(): iterable
    {
        yield 'it reaches the outermost' => [false];
        yield 'the outer work catches it' => [true];
    }

    public function testALossThatIsNoticedWhenAnInnerTransactionIsUndoneRunsEverythingAgain(): void
    {
        $db = self::connection();
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use ($db, &$runs): void {
            ++$runs;
            self::insert($pdo, 1);
            try {
                $db->transaction(static function (PDO $pdo) use ($runs): void {
                    self::insert($pdo, 2);
                    if ($runs === 1) {
                        self::terminate($pdo);
                    }
                    throw new \DomainException('not today');
                });
            } catch (\DomainException) {
                self::insert($pdo, 3);
            }
        });

        self::assertSame(2, $runs);
        self::assertSame([1, 3], self::entries());
    }

    public function testRunAndWriterInsideAreThePartOfIt(): void
    {
        $db = self::connection();
        $mine = new \DomainException('not today');

        self::thrown(static fn() => $db->transaction(static function (PDO $pdo) use ($db, $mine): void {
            self::assertSame($pdo, $db->writer());
            $db->run(static fn(PDO $pdo) => self::insert($pdo, 1));
            self::assertNotSame($pdo, $db->run(static fn(PDO $pdo) => $pdo, 'reader'));
            throw $mine;
        }));
        self::assertSame([], self::entries());

        $runs = 0;
        $db->transaction(static function (PDO $pdo) use ($db, &$runs): void {
            ++$runs;
            $db->run(static fn(PDO $pdo) => self::insert($pdo, 1));
            if ($runs === 1) {
                $db->run(static fn(PDO $pdo) => $pdo->exec(self::END_OF_THIS_CONNECTION));
            }
        });
        self::assertSame(2, $runs, 'a loss in run() is the transaction\'s');
        self::assertSame([1], self::entries());
    }

    public function testTroubleOfAReplicaIsNotTheTransactions(): void
    {
        \HaDsn::configure(Lab::URL . '?failover_timeout=300ms');
        $db = self::connection();
        $runs = 0;
        $work = static function () use ($db, &$runs): void {
            ++$runs;
            $db->run(static fn(PDO $pdo) => $pdo->exec(self::END_OF_THIS_CONNECTION), 'reader');
        };

        self::assertLost(self::thrown(static fn() => $db->transaction($work)));
        self::assertSame(1, $runs);
    }

    public function testASerializationFailureRunsItAgain(): void
    {
        $db = self::connection();
        $other = self::elsewhere();
        self::insert($other, 1);
        $runs = 0;

        $seen = $db->transaction(static function (PDO $pdo) use ($other, &$runs): int {
            ++$runs;
            $pdo->exec('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
            $seen = Lab::ask($pdo, 'SELECT max(number) FROM entry');
            if ($runs <= 2) {
                $other->exec('UPDATE entry SET number = number + 10');
            }
            $pdo->exec('UPDATE entry SET number = number + 100');

            return $seen;
        });

        self::assertSame([3, 21, [121]], [$runs, $seen, self::entries()]);
    }

    public function testASerializationFailureInAnInnerTransactionRunsEverythingAgain(): void
    {
        $db = self::connection();
        $other = self::elsewhere();
        self::insert($other, 1);
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use ($db, $other, &$runs): void {
            ++$runs;
            $pdo->exec('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
            Lab::ask($pdo, 'SELECT max(number) FROM entry');
            if ($runs === 1) {
                $other->exec('UPDATE entry SET number = number + 10');
            }
            $db->transaction(static fn(PDO $pdo) => $pdo->exec('UPDATE entry SET number = number + 100'));
        });

        self::assertSame([2, [111]], [$runs, self::entries()]);
    }

    public function testWriteSkewIsRunAgain(): void
    {
        $db = self::connection();
        $other = self::elsewhere();
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use ($other, &$runs): void {
            $pdo->exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
            $sum = Lab::ask($pdo, 'SELECT count(*) FROM entry');
            self::insert($pdo, 100 + $sum);
            if (++$runs === 1) {
                $other->exec('BEGIN ISOLATION LEVEL SERIALIZABLE');
                self::insert($other, 200 + Lab::ask($other, 'SELECT count(*) FROM entry'));
                $other->exec('COMMIT');
            }
        });

        self::assertSame([2, [101, 200]], [$runs, self::entries()]);
    }

    public function testADeadlockIsRunAgain(): void
    {
        $db = self::connection();
        self::elsewhere()->exec(self::INSERT . '(1), (2)');
        // The other one waits longer for its end, so that ours is the one that has to give way.
        $other = pg_connect(strtr(\HaDsn::conninfo(), ["user='app'" => '']) . " user=postgres password=postgres options='-c deadlock_timeout=30s'", PGSQL_CONNECT_FORCE_NEW);
        $pid = pg_get_pid($other);
        $admin = self::elsewhere('postgres');
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use ($other, $pid, $admin, &$runs): void {
            if (++$runs === 1) {
                pg_query($other, 'BEGIN');
                pg_query($other, 'SELECT FROM entry WHERE number = 2 FOR UPDATE');
            } else {
                pg_get_result($other);
                pg_query($other, 'ROLLBACK');
            }
            $pdo->exec('SELECT FROM entry WHERE number = 1 FOR UPDATE');
            if ($runs === 1) {
                pg_send_query($other, 'SELECT FROM entry WHERE number = 1 FOR UPDATE');
                self::await(static fn(): bool => Lab::ask($admin, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid") === 'Lock', 'the other one waits');
            }
            $pdo->exec('UPDATE entry SET number = 3 WHERE number = 2');
        });

        self::assertSame([2, [1, 3]], [$runs, self::entries()]);
    }

    /**
     * @dataProvider conflicts
     */
    public function testAConflictAtCommitRunsItAgain(string $state): void
    {
        self::refuseCommits($state, 2);
        $runs = 0;

        self::connection()->transaction(static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            self::insert($pdo, 1);
        });

        self::assertSame([3, [1]], [$runs, self::entries()]);
    }

    /**
     * @dataProvider conflicts
     */
    public function testConflictsThatDoNotEndAreThrownInTheEnd(string $state): void
    {
        self::refuseCommits($state, 1000);
        $db = self::connection();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            self::insert($pdo, 1);
        };

        self::assertSqlState($state, self::thrown(static fn() => $db->transaction($work)));
        self::assertSame(11, $runs);
        self::assertFalse($db->writer()->inTransaction());
        self::assertSame([], self::entries());
    }

    /** @return iterable<string, array{string}> */
    public static function conflicts(): iterable
    {
        yield 'serialization failure' => ['40001'];
        yield 'deadlock' => ['40P01'];
    }

    public function testACommitThatTheServerRefusesIsThrownAsItIs(): void
    {
        self::elsewhere()->exec('ALTER TABLE entry ADD UNIQUE (number) DEFERRABLE INITIALLY DEFERRED, DROP CONSTRAINT entry_pkey');
        $db = self::connection();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            self::insert($pdo, 1);
            self::insert($pdo, 1);
        };

        self::assertSqlState('23505', self::thrown(static fn() => $db->transaction($work)));
        self::assertSame(1, $runs);
        self::assertSame([], self::entries());
        $db->transaction(static fn(PDO $pdo) => self::insert($pdo, 2));
        self::assertSame([2], self::entries());
    }

    /**
     * @dataProvider waysToEndATransaction
     */
    public function testWorkThatEndsTheTransactionItselfIsTold(string $sql): void
    {
        $db = self::connection();

        self::assertThrows(TransactionException::class, static fn() => $db->transaction(static function (PDO $pdo) use ($sql): void {
            self::insert($pdo, 1);
            $pdo->exec($sql);
            self::insert($pdo, 2);
        }), 'the work has ended the transaction itself');
        self::assertFalse($db->writer()->inTransaction());
    }

    /**
     * @dataProvider waysToEndATransaction
     */
    public function testInnerWorkThatEndsTheTransactionIsTold(string $sql): void
    {
        $db = self::connection();

        self::assertThrows(TransactionException::class, static fn() => $db->transaction(static function () use ($db, $sql): void {
            $db->transaction(static fn(PDO $pdo) => $pdo->exec($sql));
        }), 'the work has ended the transaction itself');
        self::assertFalse($db->writer()->inTransaction());
        $db->transaction(static fn(PDO $pdo) => self::insert($pdo, 1));
        self::assertContains(1, self::entries());
    }

    /** @return iterable<string, array{string}> */
    public static function waysToEndATransaction(): iterable
    {
        yield 'COMMIT' => ['COMMIT'];
        yield 'ROLLBACK' => ['ROLLBACK'];
        yield 'COMMIT, and another one is begun' => ['COMMIT; BEGIN'];
        yield 'ROLLBACK, and another one is begun' => ['ROLLBACK AND CHAIN'];
    }

    public function testWorkThatHidesAFailedStatementIsTold(): void
    {
        $db = self::connection();

        $thrown = self::assertThrows(TransactionException::class, static fn() => $db->transaction(static function (PDO $pdo): void {
            self::insert($pdo, 1);
            self::thrown(static fn() => self::insert($pdo, 1));
        }), 'a statement of the work has failed and the work went on');
        self::assertInstanceOf(\HaDsn\Exception::class, $thrown);
        self::assertSame([], self::entries());
    }

    public function testInnerWorkThatHidesAFailedStatementIsTold(): void
    {
        $db = self::connection();

        $db->transaction(static function (PDO $pdo) use ($db): void {
            self::insert($pdo, 1);
            self::assertThrows(TransactionException::class, static fn() => $db->transaction(static function (PDO $pdo): void {
                self::insert($pdo, 2);
                self::thrown(static fn() => self::insert($pdo, 1));
            }), 'a statement of the work has failed');
            self::insert($pdo, 3);
        });
        self::assertSame([1, 3], self::entries());
    }

    public function testWorkThatTurnsExceptionsOffLosesNothingInSilence(): void
    {
        $db = self::connection();

        self::assertThrows(TransactionException::class, static fn() => $db->transaction(static function (PDO $pdo): void {
            $pdo->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_SILENT);
            self::insert($pdo, 1);
            self::insert($pdo, 1);
        }), 'a statement of the work has failed');
        self::assertSame([], self::entries());
    }

    public function testItRefusesToCommitWhatSomebodyElseHasBegun(): void
    {
        $db = self::connection();
        $pdo = $db->writer();
        $pdo->beginTransaction();
        self::insert($pdo, 1);

        self::assertThrows(TransactionException::class, static fn() => $db->transaction(static fn() => self::fail('the work was called')), 'a transaction is open');
        self::assertTrue($pdo->inTransaction());
        $pdo->rollBack();
        self::assertSame([], self::entries());
    }

    private static function insert(PDO $pdo, int $number): void
    {
        $pdo->exec(self::INSERT . "($number)");
    }

    /** The next commits to the table are refused with this SQLSTATE, as the server does it in a conflict. */
    private static function refuseCommits(string $state, int $times): void
    {
        // A sequence is not rolled back.
        self::elsewhere()->exec(<<<SQL
            CREATE SEQUENCE entry_refusals OWNED BY entry.number;
            CREATE OR REPLACE FUNCTION entry_refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$
            BEGIN
                IF nextval('entry_refusals') <= $times THEN
                    RAISE EXCEPTION 'refused' USING ERRCODE = '$state';
                END IF;
                RETURN NULL;
            END
            \$\$;
            CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION entry_refuse();
            SQL);
    }
}
