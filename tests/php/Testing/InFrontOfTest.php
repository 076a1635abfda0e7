<?php

declare(strict_types=1);

namespace HaDsn\Tests\Testing;

use HaDsn;
use HaDsn\CommitUnknownException;
use HaDsn\Connection;
use HaDsn\Phase;
use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\FakeMember;
use HaDsn\Testing\Fate;
use HaDsn\Testing\PdoErrors;
use HaDsn\Testing\Statement;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Lab;
use HaDsn\Verdict;
use PDO;

/**
 * A FakeCluster in front of a PostgreSQL server: what PDO, HaDsn\Connection and ext-pgsql meet there.
 */
final class InFrontOfTest extends TestingTestCase
{
    public function testTheLeaderWritesAndReplicasRefuse(): void
    {
        $cluster = $this->inFrontOfOurs();
        $writer = HaDsn::connect('app', 'app');
        self::assertSame('pg1', $cluster->memberOf($writer));
        self::assertSame(1, $writer->exec(self::INSERT . '(1)'));
        self::assertFalse(self::scalar($writer, 'SELECT pg_is_in_recovery()'));

        $reader = HaDsn::connect('app', 'app', role: 'reader');
        self::assertContains($cluster->memberOf($reader), ['pg2', 'pg3']);
        self::assertTrue(self::scalar($reader, 'SELECT pg_is_in_recovery()'));
        self::assertSame([['pg_is_in_recovery' => true]], $reader->query('select pg_is_in_recovery();')->fetchAll(PDO::FETCH_ASSOC));
        self::assertSame(1, self::scalar($reader, 'SELECT count(*) FROM entry WHERE pg_catalog.pg_is_in_recovery()'));
        $error = self::pdoError(static fn() => $reader->exec(self::INSERT . '(2)'));
        self::assertSame('25006', $error->errorInfo[0]);
        self::assertStringContainsString('cannot execute INSERT in a read-only transaction', $error->getMessage());
    }

    public function testAReplicaIsNotTakenForTheLeader(): void
    {
        $cluster = $this->inFrontOfOurs();
        $dsn = strtr(HaDsn::writer(), [explode(':', $cluster->address('pg1'))[1] => explode(':', $cluster->address('pg2'))[1]]);

        self::assertStringContainsString('session is read-only', self::pdoError(static fn() => new PDO($dsn, 'app', 'app'))->getMessage());
    }

    public function testAPositionIsReadFromAReplicaThatHasIt(): void
    {
        $cluster = $this->ending(FakeCluster::inFrontOf(Postgres::HOST, self::server()->port, new FakeMember('pg1'), new FakeMember('near'), new FakeMember('far', lag: 16_000_000)));
        HaDsn::configure($cluster->sources('app', ['failover_timeout' => '5s'], 'app', 'app'));
        foreach (['pg1', 'near'] as $leader) {
            $writer = HaDsn::connect('app', 'app');
            self::assertSame($leader, $cluster->memberOf($writer));
            for ($i = 0; $i < 4; ++$i) {
                $after = HaDsn::position($writer);
                $reader = HaDsn::connect('app', 'app', role: 'reader', after: $after);
                self::assertSame($leader === 'pg1' ? 'near' : 'pg1', $cluster->memberOf($reader));
            }
            if ($leader === 'pg1') {
                $cluster->switchover('near');
                HaDsn::invalidate();
            }
        }
    }

    public function testALeaderThatWasShutDownSaysSo(): void
    {
        $cluster = $this->inFrontOfOurs();
        $pdo = self::connect();
        $cluster->switchover();

        $error = self::pdoError(static fn() => $pdo->exec(self::INSERT . '(1)'));
        self::assertSameError(PdoErrors::terminated(), $error);
        self::assertSame([Fate::NotSent], self::fates($cluster, 'INSERT'));
        self::assertSameError(PdoErrors::noConnection(), self::pdoError(static fn() => $pdo->exec('SELECT 1')));
    }

    public function testALeaderThatCrashedSaysNothingAndThenRefuses(): void
    {
        $cluster = $this->inFrontOfOurs();
        $pdo = self::connect();
        $dsn = HaDsn::writer();
        $cluster->crash();

        self::assertSameError(PdoErrors::connectionLost(), self::pdoError(static fn() => $pdo->exec(self::INSERT . '(1)')));
        [$host, $port] = explode(':', $cluster->address('pg1'));
        self::assertSameError(PdoErrors::refused($host, (int) $port), self::pdoError(static fn() => new PDO($dsn, 'app', 'app')));
    }

    public function testTheOldLeaderStartsUpWhileNobodyLeads(): void
    {
        $cluster = $this->inFrontOfOurs();
        $dsn = HaDsn::writer();
        $cluster->switchover(seconds: 30.0);

        [$host, $port] = explode(':', $cluster->address('pg1'));
        self::assertSameError(PdoErrors::startingUp($host, (int) $port), self::pdoError(static fn() => new PDO($dsn, 'app', 'app')));
        self::assertNull($cluster->leader());
        $cluster->elect();
        self::assertSameError(PdoErrors::notTheLeader($host, (int) $port), self::pdoError(static fn() => new PDO($dsn, 'app', 'app')));
    }

    public function testConnectWaitsForTheNewLeader(): void
    {
        $cluster = $this->inFrontOfOurs();
        HaDsn::writer();
        $cluster->crash('pg3', 0.5);

        $seconds = self::seconds(static function () use (&$pdo): void {
            $pdo = HaDsn::connect('app', 'app');
        });
        self::assertGreaterThan(0.4, $seconds);
        self::assertSame('pg3', $cluster->memberOf($pdo));
    }

    /**
     * @dataProvider changes
     */
    public function testAStatementOfPlainPdoNeverArrives(string $change, callable $expected, bool $isPrepared): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->before('insert  into ENTRY', 2)->$change();
        $pdo = self::connect();
        self::insert($pdo, 1, $isPrepared);

        self::assertSameError($expected(), self::pdoError(static fn() => self::insert($pdo, 2, $isPrepared)));
        self::assertSame([1], self::entries());
        self::assertSame([], $cluster->armed());
        $fates = self::fates($cluster, 'INSERT INTO entry');
        self::assertSame([Fate::Done, $change === 'demote' ? Fate::Refused : Fate::NotSent], $fates);
        $isElsewhere = in_array($change, ['switchover', 'crash', 'demote'], true);
        self::assertSame($isElsewhere ? 'pg2' : 'pg1', $cluster->leader());
    }

    /** @return iterable<string, array{string, callable(): \PDOException, bool}> */
    public static function changes(): iterable
    {
        foreach ([false, true] as $isPrepared) {
            $how = $isPrepared ? 'prepared' : 'plain';
            yield "switchover, $how" => ['switchover', PdoErrors::terminated(...), $isPrepared];
            yield "terminate, $how" => ['terminate', PdoErrors::terminated(...), $isPrepared];
            yield "crash, $how" => ['crash', PdoErrors::connectionLost(...), $isPrepared];
            yield "cut, $how" => ['cut', PdoErrors::connectionLost(...), $isPrepared];
            yield "demote, $how" => ['demote', PdoErrors::readOnly(...), $isPrepared];
        }
    }

    /**
     * @dataProvider endings
     */
    public function testAStatementOfPlainPdoTakesEffectAndNobodyHears(string $change, callable $expected, bool $isPrepared): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->after('INSERT INTO entry')->$change();
        $pdo = self::connect();

        self::assertSameError($expected(), self::pdoError(static fn() => self::insert($pdo, 1, $isPrepared)));
        self::assertSame([1], self::entries());
        self::assertSame([Fate::Unanswered], self::fates($cluster, 'INSERT INTO entry'));
    }

    /** @return iterable<string, array{string, callable(): \PDOException, bool}> */
    public static function endings(): iterable
    {
        foreach (self::changes() as $name => $change) {
            if ($change[0] !== 'demote') {
                yield $name => $change;
            }
        }
    }

    public function testAnAnswerIsHeardIfTheConnectionStays(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->after('INSERT INTO entry')->demote();
        $pdo = self::connect();

        self::assertSame(1, $pdo->exec(self::INSERT . '(1)'));
        self::assertSame('25006', self::pdoError(static fn() => $pdo->exec(self::INSERT . '(2)'))->errorInfo[0]);
        self::assertTrue(self::scalar($pdo, 'SELECT pg_is_in_recovery()'));
        self::assertSame([Fate::Done, Fate::Refused], self::fates($cluster, 'INSERT'));
    }

    public function testAStatementThatTheServerRefusesDoesNotCountAsDone(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->after('INSERT INTO entry')->cut();
        $pdo = self::connect();

        self::assertSame('22P02', self::pdoError(static fn() => $pdo->exec(self::INSERT . "('x')"))->errorInfo[0]);
        self::assertNotSame([], $cluster->armed());
        self::assertSameError(PdoErrors::connectionLost(), self::pdoError(static fn() => $pdo->exec(self::INSERT . '(1)')));
        self::assertSame([1], self::entries());
    }

    public function testATransactionOfADemotedLeaderIsRefusedAndStaysSo(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->before('INSERT INTO entry', 2)->demote();
        $pdo = self::connect();
        $pdo->beginTransaction();
        self::insert($pdo, 1, true);
        self::assertSameError(PdoErrors::readOnly(), self::pdoError(static fn() => self::insert($pdo, 2, true)));
        $pdo->rollBack();

        self::assertSame('25006', self::pdoError(static fn() => $pdo->exec(self::INSERT . '(3)'))->errorInfo[0]);
        self::assertSame([], self::entries());
        $cluster->demote('pg1');
        self::assertSame(1, $pdo->exec(self::INSERT . '(4)'), 'it leads again');
    }

    public function testACommitIsLostBeforeOrAfterItTookEffect(): void
    {
        foreach (['before' => [], 'after' => [1]] as $when => $entries) {
            $cluster = $this->inFrontOfOurs();
            $cluster->$when('COMMIT')->cut();
            $pdo = self::connect();
            $pdo->beginTransaction();
            self::insert($pdo, 1, true);

            $error = self::pdoError(static fn() => $pdo->commit());
            // The same exception, and the opposite is true.
            self::assertSameError(PdoErrors::connectionLost(), $error);
            self::assertSame(Verdict::InDoubt, HaDsn::verdict($error, Phase::Commit));
            self::assertSame($entries, self::entries(), $when);
        }
    }

    public function testATransactionOfConnectionRunsAgainOnTheNewLeader(): void
    {
        foreach (['switchover', 'crash', 'demote'] as $change) {
            $cluster = $this->inFrontOfOurs();
            $cluster->before('INSERT INTO entry', 2)->$change();
            $db = new Connection();

            $member = $db->transaction(static function (PDO $pdo) use ($cluster): ?string {
                $pdo->exec(self::INSERT . '(1)');
                $pdo->exec(self::INSERT . '(2)');

                return $cluster->memberOf($pdo);
            });

            self::assertSame(['pg2', [1, 2]], [$member, self::entries()], $change);
            self::assertCount(4, $cluster->statements('INSERT INTO entry'), $change);
        }
    }

    public function testACommitOfConnectionInDoubtIsNotRepeated(): void
    {
        foreach (['before' => [], 'after' => [1]] as $when => $entries) {
            $cluster = $this->inFrontOfOurs();
            $cluster->$when('COMMIT')->switchover();
            $db = new Connection();

            self::assertThrows(CommitUnknownException::class, static fn() => $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)')));
            self::assertSame($entries, self::entries());
            self::assertSame('pg2', $cluster->memberOf($db->writer()));
        }
    }

    public function testAReadOfConnectionRunsAgainOnAnotherReplica(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->before('SELECT number')->crash();
        $db = new Connection();

        self::assertSame([], $db->run(static fn(PDO $pdo) => $pdo->query('SELECT number FROM entry')->fetchAll(), 'reader'));
        [$first, $second] = array_map(static fn(Statement $one): string => $one->member, $cluster->statements('SELECT number'));
        self::assertNotSame($first, $second);
        self::assertSame('pg1', $cluster->leader(), 'a replica crashed');
    }

    public function testWithoutALeaderConnectionGivesUpInTime(): void
    {
        $cluster = $this->inFrontOfOurs(['failover_timeout' => '300ms']);
        $db = new Connection();
        $db->writer();
        $cluster->noLeader();

        $seconds = self::seconds(static fn() => self::assertThrows(
            HaDsn\NoLeaderException::class,
            static fn() => $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)')),
        ));
        self::assertLessThan(self::SOON, $seconds);
        self::assertSame([], $db->run(static fn(PDO $pdo) => $pdo->query('SELECT number FROM entry')->fetchAll(), 'reader'));
    }

    public function testPgConnectMeetsTheSame(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->after('INSERT INTO entry')->switchover();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        self::assertTrue(pg_send_query_params($pg, self::INSERT . '($1)', [1]));
        $result = pg_get_result($pg);

        self::assertNotFalse($result);
        self::assertStringContainsString('terminating connection due to administrator command', (string) pg_result_error($result));
        self::assertSame([1], self::entries());
    }

    public function testWhatIsNotAskedForPassesUnchanged(): void
    {
        $this->inFrontOfOurs();
        $pdo = self::connect();
        $pdo->beginTransaction();
        $pdo->pgsqlCopyFromArray('entry', array_map(strval(...), range(1, 5000)));
        $pdo->commit();
        self::assertSame(5000, self::scalar($pdo, 'SELECT count(*) FROM entry'));
        $large = str_repeat('ä', 2_000_000);
        $select = $pdo->prepare('SELECT ?::text');
        $select->execute([$large]);
        self::assertTrue($large === $select->fetchColumn());
        $pdo->exec('LISTEN news');
        $pdo->exec("NOTIFY news, 'hello'");
        self::assertSame('hello', $pdo->pgsqlGetNotify(PDO::FETCH_ASSOC, 2000)['payload']);
    }

    public function testARunningStatementCanBeCancelled(): void
    {
        $this->inFrontOfOurs();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        self::assertTrue(pg_send_query($pg, 'SELECT pg_sleep(30)'));
        self::assertLessThan(self::SOON, self::seconds(static fn() => self::assertTrue(pg_cancel_query($pg))));
    }

    public function testAWrongPasswordIsTheServersAnswer(): void
    {
        $this->inFrontOfOurs();
        self::assertThrows(\PDOException::class, static fn() => HaDsn::connect('app', 'wrong'), 'password authentication failed for user "app"');
    }

    public function testARegularExpressionFindsAStatementAnywhere(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->before('/from\s+entry/i')->cut();
        $pdo = self::connect();
        $pdo->exec('INSERT INTO entry VALUES (1)');

        self::assertSameError(PdoErrors::connectionLost(), self::pdoError(static fn() => $pdo->query('WITH one AS (SELECT 1 AS number) SELECT * FROM entry JOIN one USING (number)')));
        self::assertSame(['INSERT INTO entry VALUES (1)'], array_map(static fn(Statement $one): string => $one->sql, $cluster->statements('/INTO \w+ VALUES/')));
    }

    public function testAFailoverThatCanNotHappenIsReported(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->stopMember('pg2');
        $cluster->stopMember('pg3');
        $cluster->before('INSERT')->switchover();
        self::assertSame(1, self::connect()->exec(self::INSERT . '(1)'));

        $thrown = self::thrown(static fn() => $cluster->leader());
        self::assertInstanceOf(\LogicException::class, $thrown);
        self::assertStringContainsString('before INSERT: there is no replica that could lead', $thrown->getMessage());
        self::assertSame('pg1', $cluster->leader());
    }

    public function testTheHelpersOwnQuestionsAreNotPartOfTheStory(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->before('SELECT')->cut();

        self::assertSame('pg1', $cluster->memberOf(self::connect()));
        self::assertSame([], $cluster->statements());
    }

    public function testATextIsTheBeginningOfAStatement(): void
    {
        $cluster = $this->inFrontOfOurs();
        $pdo = self::connect();
        $pdo->exec("/* why */ -- and how\n  insert\n\tinto entry values (1)");
        $pdo->exec("INSERT INTO entry SELECT 2 WHERE 'COMMIT' <> ''");

        self::assertCount(2, $cluster->statements('INSERT INTO entry'));
        self::assertCount(0, $cluster->statements('INSERT INTO ent'));
        self::assertCount(0, $cluster->statements('COMMIT'));
        $cluster->before('INSERT')->cut();
        $cluster->disarm();
        self::assertSame(1, $pdo->exec(self::INSERT . '(3)'));
    }

    private static function insert(PDO $pdo, int $number, bool $isPrepared): void
    {
        if ($isPrepared) {
            $pdo->prepare('INSERT INTO entry VALUES (?)')->execute([$number]);
        } else {
            $pdo->exec(self::INSERT . "($number)");
        }
    }

    private static function scalar(PDO $pdo, string $sql): mixed
    {
        return Lab::ask($pdo, $sql);
    }

    /** @return list<Fate> */
    private static function fates(FakeCluster $cluster, string $statement): array
    {
        return array_map(static fn(Statement $one): Fate => $one->fate, $cluster->statements($statement));
    }

    /** A real exception is what PdoErrors says of it. */
    private static function assertSameError(\PDOException $expected, \PDOException $real): void
    {
        self::assertSame(
            [$expected->getMessage(), $expected->getCode(), $expected->errorInfo],
            [trim($real->getMessage()), $real->getCode(), [...array_slice($real->errorInfo, 0, 2), trim($real->errorInfo[2])]],
        );
        foreach (Phase::cases() as $phase) {
            self::assertSame(HaDsn::verdict($expected, $phase), HaDsn::verdict($real, $phase));
        }
    }
}
