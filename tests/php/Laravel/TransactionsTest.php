<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\CommitUnknownException;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\TransactionException;
use Illuminate\Database\QueryException;

/**
 * What a failover does to transactions of Laravel.
 */
final class TransactionsTest extends LaravelTestCase
{
    public function testATransactionThatIsLostBeforeCommitRunsAgain(): void
    {
        $db = $this->connection();
        $runs = 0;

        $result = $db->transaction(function () use ($db, &$runs): string {
            $db->table('entry')->insert(['number' => ++$runs]);
            if ($runs === 1) {
                $this->network->will(Proxy::CLOSE);
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

    public function testConflictsInASavepointEndAllOfIt(): void
    {
        $db = $this->connection();
        $runs = $inner = 0;

        $result = $db->transaction(static function () use ($db, &$runs, &$inner): int {
            ++$runs;
            $db->transaction(static function () use ($db, $runs, &$inner): void {
                ++$inner;
                if ($runs === 1) {
                    $db->unprepared("DO \$\$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END \$\$");
                }
            }, 5);

            return $runs;
        }, 2);

        self::assertSame([2, 2, 2], [$result, $runs, $inner]);
        self::assertSame(0, $db->transactionLevel());
    }

    public function testASavepointThatIsRolledBackLeavesTheRest(): void
    {
        $db = $this->connection();

        $db->transaction(static function () use ($db): void {
            $db->table('entry')->insert(['number' => 1]);
            try {
                $db->transaction(static function () use ($db): void {
                    $db->table('entry')->insert(['number' => 2]);
                    $db->select('SELECT 1/0');
                });
            } catch (QueryException) {
                // The coupon is missing.
            }
            $db->table('entry')->insert(['number' => 3]);
        });

        self::assertSame([1, 3], self::entries());
    }
}
