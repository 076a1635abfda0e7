<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\ConfigException;
use HaDsn\Tests\Support\Lab;
use PDO;

/**
 * Connection::run(), writer() and reader() on a cluster whose leader stays.
 */
final class RunTest extends ConnectionTestCase
{
    public function testTheWorkGetsTheLeaderOrAReplicaAndItsResultIsReturned(): void
    {
        $db = self::connection();
        $isStandby = static fn(PDO $pdo): bool => Lab::ask($pdo, 'SELECT pg_is_in_recovery()');

        self::assertFalse($db->run($isStandby));
        self::assertFalse($db->run($isStandby, 'writer'));
        self::assertTrue($db->run($isStandby, 'reader'));
        self::assertNull($db->run(static fn(): ?int => null));
    }

    public function testThereIsOneConnectionForEachRole(): void
    {
        $db = self::connection();
        $same = static fn(PDO $pdo): PDO => $pdo;

        self::assertSame($db->writer(), $db->writer());
        self::assertSame($db->writer(), $db->run($same));
        self::assertSame($db->reader(), $db->reader());
        self::assertSame($db->reader(), $db->run($same, 'reader'));
        self::assertNotSame($db->reader(), $db->writer());
    }

    public function testAConnectionIsKeptForAsLongAsItAnswers(): void
    {
        $db = self::connection();
        [$writer, $reader] = [$db->writer(), $db->reader()];

        // Longer than it is trusted without being asked.
        usleep(1_200_000);

        self::assertSame([$writer, $reader], [$db->writer(), $db->reader()]);
    }

    public function testAConnectionThatBrokeWhileNobodyUsedItIsReplacedInTime(): void
    {
        $db = self::connection();
        foreach ([$db->writer(), $db->reader()] as $pdo) {
            self::terminate($pdo);
        }
        usleep(1_200_000);

        self::assertFalse(Lab::ask($db->writer(), 'SELECT pg_is_in_recovery()'));
        self::assertTrue(Lab::ask($db->reader(), 'SELECT pg_is_in_recovery()'));
    }

    public function testAConnectionThatIsKnownToBeBrokenIsReplacedAtOnce(): void
    {
        $db = self::connection();
        $writer = $db->writer();
        self::assertLost(self::thrown(static fn() => $writer->exec(self::END_OF_THIS_CONNECTION)));
        self::assertTrue($writer->inTransaction(), 'what PDO says of a broken connection');

        self::assertSame(1, $db->writer()->exec(self::INSERT . '(1)'));
        self::assertSame([1], self::entries());
    }

    public function testWorkOnTheLeaderThatLostItsConnectionIsNotRepeated(): void
    {
        $db = self::connection();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->exec(self::INSERT . '(1)');
            $pdo->exec(self::END_OF_THIS_CONNECTION);
        };

        self::assertLost(self::thrown(static fn() => $db->run($work)));
        self::assertSame(1, $runs);
        self::assertSame('suspect', \HaDsn::status()['clusters']['default']['state']);
        self::assertSame(1, $db->run(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(2)')));
        self::assertSame([1, 2], self::entries());
    }

    public function testTheExceptionOfLostWorkIsTheOneThatTheWorkThrew(): void
    {
        $mine = new \DomainException('the order is gone');
        $db = self::connection();

        self::assertSame($mine, self::thrown(static fn() => $db->run(static function (PDO $pdo) use ($mine): void {
            self::assertLost(self::thrown(static fn() => $pdo->exec(self::END_OF_THIS_CONNECTION)));
            throw $mine;
        })));
        self::assertSame(1, $db->run(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)')));
    }

    public function testWorkOnAReplicaThatLostItsConnectionIsRepeated(): void
    {
        $db = self::connection();
        $runs = 0;

        self::assertSame(42, $db->run(static function (PDO $pdo) use (&$runs): int {
            if (++$runs <= 3) {
                $pdo->exec(self::END_OF_THIS_CONNECTION);
            }

            return Lab::ask($pdo, 'SELECT 42');
        }, 'reader'));
        self::assertSame(4, $runs);
    }

    public function testWorkThatReadsFromTheLeaderIsNotRepeated(): void
    {
        $leader = Lab::address(Lab::leader());
        \HaDsn::configure(Lab::URL . "?allow_hosts=$leader");
        $db = self::connection();
        $runs = 0;

        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->exec(self::INSERT . '(1)');
            $pdo->exec(self::END_OF_THIS_CONNECTION);
        };

        self::assertLost(self::thrown(static fn() => $db->run($work, 'reader')));
        self::assertSame(1, $runs);
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

        $seconds = self::seconds(static fn() => self::assertLost(self::thrown(static fn() => $db->run($work, 'reader'))));

        self::assertGreaterThan(2, $runs);
        self::assertGreaterThan(0.9, $seconds);
        self::assertLessThan(4.0, $seconds);
    }

    public function testAWriteOnAReplicaIsTheWorksMistake(): void
    {
        $db = self::connection();
        $runs = 0;

        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->exec(self::INSERT . '(1)');
        };

        self::assertSqlState('25006', self::thrown(static fn() => $db->run($work, 'reader')));
        self::assertSame(1, $runs);
    }

    public function testAReadOnlyTransactionOfTheApplicationIsNoFailover(): void
    {
        $db = self::connection();
        $pdo = $db->writer();
        \HaDsn::writer();
        $runs = 0;

        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->beginTransaction();
            $pdo->exec('SET TRANSACTION READ ONLY');
            $pdo->exec(self::INSERT . '(1)');
        };

        self::assertSqlState('25006', self::thrown(static fn() => $db->run($work)));
        self::assertSame(1, $runs);
        self::assertSame($pdo, $db->writer(), 'the connection is as good as before');
        self::assertFalse($pdo->inTransaction());
        self::assertSame('fresh', \HaDsn::status()['clusters']['default']['state']);
    }

    public function testAReadOnlyErrorOnAConnectionThatCanNoLongerBeAskedCountsAsAFailover(): void
    {
        $db = self::connection();
        $runs = 0;

        self::assertSame(1, $db->run(static function (PDO $pdo) use (&$runs): int {
            if (++$runs > 1) {
                return $pdo->exec(self::INSERT . '(1)');
            }
            $pdo->beginTransaction();
            $pdo->exec('SET TRANSACTION READ ONLY');
            [$pid, $server] = [Lab::ask($pdo, 'SELECT pg_backend_pid()'), self::server($pdo)];
            $refusal = self::thrown(static fn() => $pdo->exec(self::INSERT . '(1)'));
            self::assertSqlState('25006', $refusal);
            self::terminateBackend($server, $pid);
            throw $refusal;
        }));
        self::assertSame(2, $runs);
        self::assertSame([1], self::entries());
    }

    public function testWhatTheWorkLeftOpenWhenItThrewIsRolledBack(): void
    {
        $db = self::connection();
        $mine = new \DomainException('not today');

        self::assertSame($mine, self::thrown(static fn() => $db->run(static function (PDO $pdo) use ($mine): void {
            $pdo->beginTransaction();
            $pdo->exec(self::INSERT . '(1)');
            throw $mine;
        })));
        self::assertFalse($db->writer()->inTransaction());
        self::assertSame([], self::entries());
    }

    public function testAnErrorOfTheStatementIsThrownAtOnce(): void
    {
        $db = self::connection();
        $runs = 0;

        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->exec('SELECT * FROM nowhere');
        };

        self::assertSqlState('42P01', self::thrown(static fn() => $db->run($work)));
        self::assertSame(1, $runs);
    }

    public function testTroubleOfAnotherServerIsNotOurs(): void
    {
        $db = self::connection();
        $runs = 0;
        [$host, $port] = explode(':', self::deadAddress());

        $work = static function () use (&$runs, $host, $port): void {
            ++$runs;
            new PDO("pgsql:host=$host;port=$port;dbname=app", 'app', 'app');
        };

        self::assertThrows(\PDOException::class, static fn() => $db->run($work, 'reader'), 'Connection refused');
        self::assertSame(1, $runs);
    }

    public function testATransactionThatWasBegunByHandIsLeftToWhoeverBeganIt(): void
    {
        $db = self::connection();
        $pdo = $db->writer();
        $pdo->beginTransaction();
        $mine = new \DomainException('not today');

        $db->run(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));
        self::assertSame($mine, self::thrown(static fn() => $db->run(static fn() => throw $mine)));
        self::assertTrue($pdo->inTransaction());
        $pdo->commit();

        self::assertSame([1], self::entries());
    }

    public function testAWrongPasswordIsThrownAtOnceAsItIs(): void
    {
        $db = new \HaDsn\Connection('app', 'wrong');
        foreach (['run', 'transaction'] as $method) {
            $seconds = self::seconds(static fn() => self::assertThrows(
                \PDOException::class,
                static fn() => $db->$method(static fn() => self::fail('the work was called')),
                'password authentication failed for user "app"',
            ));
            self::assertLessThan(self::SOON, $seconds);
        }
    }

    public function testAnUnknownDatabaseIsThrownAtOnceAsItIs(): void
    {
        \HaDsn::configure(strtr(Lab::URL, ['/app' => '/missing']));

        self::assertThrows(\PDOException::class, static fn() => self::connection()->reader(), 'database "missing" does not exist');
    }

    public function testAnUnknownRoleIsNamed(): void
    {
        self::assertThrows(ConfigException::class, static fn() => self::connection()->run(static fn() => null, 'leader'), 'role "leader": expected writer or reader');
    }

    public function testAnUnknownClusterIsNamed(): void
    {
        $db = self::connection(cluster: 'orders');

        self::assertThrows(ConfigException::class, static fn() => $db->writer(), 'orders');
        self::assertThrows(ConfigException::class, static fn() => $db->transaction(static fn() => null), 'orders');
    }

    public function testWorkersThatLoseTheirConnectionAgainAndAgainDoNotGrow(): void
    {
        $db = self::connection();
        $turn = static function () use ($db): void {
            self::assertLost(self::thrown(static fn() => $db->run(static fn(PDO $pdo) => $pdo->exec(self::END_OF_THIS_CONNECTION))));
        };
        for ($i = 0; $i < 10; ++$i) {
            $turn();
        }
        gc_collect_cycles();
        [$memory, $descriptors] = [memory_get_usage(), count(scandir('/proc/self/fd'))];
        for ($i = 0; $i < 50; ++$i) {
            $turn();
        }
        gc_collect_cycles();

        self::assertLessThan(100_000, memory_get_usage() - $memory);
        self::assertSame($descriptors, count(scandir('/proc/self/fd')));
    }
}
