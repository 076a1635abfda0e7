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
use HaDsn\Tests\Support\Directory;
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

    public function testWhatIsLargePassesToo(): void
    {
        $this->inFrontOfOurs();
        $pdo = self::connect();
        self::assertSame(150_000_000, strlen(self::scalar($pdo, "SELECT repeat('x', 150000000)")));
        $select = $pdo->prepare('SELECT length(?::text)');
        $select->execute([str_repeat('x', 50_000_000)]);
        self::assertSame(50_000_000, $select->fetchColumn());
        $rows = $pdo->query("SELECT n, repeat('x', 100) FROM generate_series(1, 200000) AS n")->fetchAll(PDO::FETCH_NUM);
        self::assertSame([200_000, str_repeat('x', 100)], $rows[199_999]);
        $pdo->pgsqlCopyFromArray('entry', array_map(strval(...), range(1, 300_000)));
        self::assertCount(300_000, $pdo->pgsqlCopyToArray('entry'));
    }

    public function testSomebodyWhoReadsSlowlyHoldsUpNobodyElse(): void
    {
        $this->inFrontOfOurs();
        $slow = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        self::assertTrue(pg_send_query($slow, "SELECT repeat('x', 100000) FROM generate_series(1, 500)"));
        self::assertSame(1, self::scalar(self::connect(), 'SELECT 1'));
        self::assertSame(500, pg_num_rows(pg_get_result($slow)));
    }

    public function testCopyMeetsAFailoverLikeAnyStatement(): void
    {
        foreach (['before' => [], 'after' => ['1', '2']] as $when => $entries) {
            $cluster = $this->inFrontOfOurs();
            $cluster->$when('COPY entry')->cut();
            $pdo = self::connect();
            self::assertSameError(PdoErrors::connectionLost(), self::pdoError(static fn() => $pdo->pgsqlCopyFromArray('entry', ['1', '2'])));
            self::assertSame($entries, array_map(strval(...), self::entries()), $when);
            self::assertSame([$when === 'before' ? Fate::NotSent : Fate::Unanswered], self::fates($cluster, 'COPY'));
        }
    }

    public function testACopyByTheExtendedProtocolIsFollowedToItsEnd(): void
    {
        $cluster = $this->inFrontOfOurs();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        pg_query_params($pg, 'COPY entry FROM STDIN', []);
        pg_put_line($pg, "1\n");
        pg_put_line($pg, "\\.\n");
        self::assertTrue(pg_end_copy($pg));
        $cluster->after('INSERT')->demote();
        self::assertNotFalse(pg_query($pg, self::INSERT . '(2)'));
        self::assertSame([Fate::Done, Fate::Done], [...self::fates($cluster, 'COPY'), ...self::fates($cluster, 'INSERT')]);
        self::assertTrue(pg_send_query($pg, self::INSERT . '(3)'));
        self::assertStringContainsString('read-only transaction', (string) pg_result_error(pg_get_result($pg)));
    }

    public function testTheServerMayBeReachedByASocketOfTheFileSystem(): void
    {
        $directory = new Directory();
        chmod($directory->path, 0777);
        $server = new Postgres();
        $server->write('pg_hba.conf', "host all postgres 127.0.0.0/8 trust\nlocal all app scram-sha-256\n");
        $server->up(['unix_socket_directories' => $directory->path]);
        try {
            $cluster = $this->ending(FakeCluster::inFrontOf($directory->path, $server->port));
            HaDsn::configure($cluster->sources('app', ['failover_timeout' => '5s'], 'app', 'app'));
            self::assertSame('pg1', $cluster->memberOf(HaDsn::connect()));
            $server->stop();
            $seconds = self::seconds(static fn() => self::assertThrows(\PDOException::class, static fn() => HaDsn::connect(), $directory->path));
            self::assertLessThan(self::SOON, $seconds, 'that the server behind is gone is no failover to wait for');
        } finally {
            $server->stop();
        }
    }

    public function testManyConnectionsAreServedAndTooManyRefused(): void
    {
        $server = new Postgres();
        $server->write('pg_hba.conf', "host all all 127.0.0.0/8 trust\n");
        $server->up(['max_connections' => 500]);
        try {
            $cluster = $this->ending(FakeCluster::inFrontOf(Postgres::HOST, $server->port));
            HaDsn::configure($cluster->sources('app', ['failover_timeout' => '5s'], 'app', 'app'));
            $all = [];
            for ($i = 0; $i < 450; ++$i) {
                $all[] = self::connect();
            }
            $error = self::pdoError(static fn() => self::connect());
            self::assertStringContainsString('sorry, too many clients already', $error->getMessage());
            self::assertSame(1, self::scalar($all[449], 'SELECT 1'));
            unset($all);
            self::await(static fn(): bool => self::scalar($server->connect('postgres'), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'") === 0, 'they are gone');
            self::assertSame('pg1', $cluster->memberOf(self::connect()));
        } finally {
            $server->stop();
        }
    }

    public function testSomethingElseThanPostgresqlsProtocolIsHungUpOn(): void
    {
        $cluster = $this->inFrontOfOurs();
        $socket = stream_socket_client('tcp://' . $cluster->address('pg1'), $code, $message, 2.0);
        stream_set_timeout($socket, 5);
        fwrite($socket, "GET / HTTP/1.0\r\n\r\n");
        self::assertSame('', stream_get_contents($socket));
        self::assertTrue(feof($socket));
        self::assertFalse(stream_get_meta_data($socket)['timed_out']);
    }

    public function testALeaderThatWakesUpAndIsNoneAnyMoreDoesNothingOfWhatItWasTold(): void
    {
        $cluster = $this->inFrontOfOurs();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        $replica = HaDsn::connect(role: 'reader');
        $cluster->freeze('pg1');
        self::assertTrue(pg_send_query($pg, self::INSERT . '(1)'));
        $cluster->elect('pg2');
        $cluster->thaw('pg1');

        self::assertStringContainsString('terminating connection due to administrator command', (string) pg_result_error(pg_get_result($pg)));
        self::assertSame([[], [Fate::NotSent]], [self::entries(), self::fates($cluster, 'INSERT')]);
        self::assertContains($cluster->memberOf($replica), ['pg2', 'pg3']);
        self::assertSame('replica', $cluster->members()[0]['role']);
    }

    public function testAFrozenLeaderThatNobodyHasReplacedGoesOn(): void
    {
        $cluster = $this->inFrontOfOurs();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        $cluster->freeze('pg1');
        self::assertTrue(pg_send_query($pg, self::INSERT . '(1)'));
        self::assertSame([], $cluster->statements('INSERT'));
        $cluster->thaw('pg1');

        self::assertSame(1, pg_affected_rows(pg_get_result($pg)));
    }

    public function testWhatWasSentInVainIsSaidOnce(): void
    {
        $cluster = $this->inFrontOfOurs();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        pg_query_params($pg, 'SELECT $1::int', [1]);
        $cluster->switchover();
        pg_send_query_params($pg, 'SELECT $1::text', ['x']);
        while (pg_get_result($pg)) {
        }
        self::assertSame([['SELECT $1::int', Fate::Done], ['SELECT $1::text', Fate::NotSent]], array_map(static fn(Statement $one): array => [$one->sql, $one->fate], $cluster->statements('SELECT $1')));

        HaDsn::invalidate();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        pg_prepare($pg, 'insert', self::INSERT . '($1)');
        $cluster->switchover();
        pg_send_execute($pg, 'insert', [2]);
        while (pg_get_result($pg)) {
        }
        self::assertSame([Fate::NotSent], self::fates($cluster, 'INSERT'));
    }

    public function testEveryFailoverThatIsSetCountsByItself(): void
    {
        $cluster = $this->inFrontOfOurs(['failover_timeout' => '5s']);
        $cluster->before('INSERT')->cut();
        $cluster->before('INSERT', 2)->terminate();
        $cluster->before('INSERT INTO entry', 3)->switchover();
        $cluster->after('INSERT', 4)->crash();
        $lost = [];
        foreach ([1, 2, 3, 4] as $number) {
            $pdo = HaDsn::connect();
            $lost[] = self::pdoError(static fn() => $pdo->exec(self::INSERT . "($number)"))->getMessage();
        }

        self::assertSame([4], self::entries());
        self::assertSame([[], 'pg1'], [$cluster->armed(), $cluster->leader()], 'there and back');
        self::assertSame([false, true, true, false], array_map(static fn(string $text): bool => str_contains($text, 'administrator command'), $lost));
    }

    public function testTwoForTheSameStatementMeetItAndTheNext(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->before('INSERT')->cut();
        $cluster->before('INSERT')->cut();
        (new Connection())->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));
        self::assertSame([Fate::NotSent, Fate::NotSent, Fate::Done], self::fates($cluster, 'INSERT'));
    }

    public function testAStatementMayMeetOneBeforeAndOneAfter(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->after('SELECT 7')->cut();
        $cluster->before('SELECT 7')->demote();
        $pdo = self::connect();
        self::assertSameError(PdoErrors::connectionLost(), self::pdoError(static fn() => $pdo->query('SELECT 7')));
        self::assertSame(['pg2', []], [$cluster->leader(), $cluster->armed()]);
    }

    public function testWhatWasToHappenAfterAStatementThatWasCutOffHasNotHappened(): void
    {
        $cluster = $this->inFrontOfOurs();
        $cluster->after('SELECT pg_sleep')->crash();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        self::assertTrue(pg_send_query($pg, 'SELECT pg_sleep(3)'));
        self::await(static fn(): bool => $cluster->statements('SELECT pg_sleep') !== [], 'it has come');
        $cluster->switchover();

        self::assertSame(['after SELECT pg_sleep'], $cluster->armed());
    }

    public function testARunningStatementCanBeCancelled(): void
    {
        $this->inFrontOfOurs();
        $pg = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        self::assertTrue(pg_send_query($pg, 'SELECT pg_sleep(30) AS long'));
        // A server that has not begun passes over it.
        $admin = self::server()->connect('postgres');
        self::await(static fn(): bool => self::scalar($admin, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%long'") === 1, 'it runs');
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
