<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use CodeIgniter\Database\Exceptions\DatabaseException;
use HaDsn\CodeIgniter\TransactionLostException;
use HaDsn\CommitUnknownException;
use HaDsn\ConfigException;
use HaDsn\Phase;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Verdict;

/**
 * What an application sees of the driver, statement by statement.
 */
final class DriverTest extends DriverTestCase
{
    public function testItIsCodeIgnitersDriver(): void
    {
        $db = self::connection();

        self::assertTrue($db->table('entry')->insert(['number' => 7]));
        self::assertSame(1, $db->affectedRows());
        self::assertSame([['number' => '7']], $db->table('entry')->get()->getResultArray());
        self::assertSame('7', $db->query('SELECT number FROM entry WHERE number = ?', [7])->getRow()->number);
        self::assertSame('Postgre', $db->getPlatform());
        self::assertContains('entry', $db->listTables());
        self::assertContains('app', \Config\Database::utils($db)->listDatabases());
        self::assertTrue(\Config\Database::forge($db)->addField(['id' => ['type' => 'serial'], 'x' => ['type' => 'text']])->addKey('id', true)->createTable('made'));
        $db->table('made')->insert(['x' => "it's"]);
        self::assertSame(1, $db->insertID());
        self::assertTrue(\Config\Database::forge($db)->dropTable('made'));
        self::assertSame('UTF8', $db->query('SHOW client_encoding')->getRow()->client_encoding);
        self::assertSame(['code' => '', 'message' => ''], $db->error());
    }

    public function testAnErrorTellsItsSqlstate(): void
    {
        $db = self::connection();
        $db->query(self::INSERT . '(1)');

        $error = self::thrown(static fn() => $db->query(self::INSERT . '(1)'));

        self::assertInstanceOf(self::framework(), $error);
        self::assertStringStartsWith('SQLSTATE[23505]: ERROR:  duplicate key', $error->getMessage());
        self::assertSame('23505', $db->error()['code']);
        self::assertSame(Verdict::Unrelated, \HaDsn::verdict($error, Phase::Autocommit));
        $silent = self::connection(['DBDebug' => false]);
        self::assertFalse($silent->query(self::INSERT . '(1)'));
        self::assertSame('23505', $silent->error()['code']);
    }

    public function testAConnectionThatEndedIdleIsReplacedUnnoticed(): void
    {
        $db = self::connection();
        $db->query(self::INSERT . '(1)');
        self::terminate($db);

        self::assertTrue($db->query(self::INSERT . '(2)'));
        self::terminate($db);
        self::assertTrue($db->transStart());
        $db->query(self::INSERT . '(3)');
        self::assertTrue($db->transComplete());

        self::assertSame([1, 2, 3], self::entries($this->leader));
    }

    public function testANewConnectionLeadsToTheNewLeader(): void
    {
        $old = $this->leader;
        $db = self::connection();
        self::assertSame($old->port, self::port($db));
        $this->moveTo(self::server(1));
        self::terminate($db);

        self::assertSame($this->leader->port, self::port($db));
        self::assertNotSame($old->port, $this->leader->port);
    }

    public function testReconnectAsksForASignOfLife(): void
    {
        $db = self::connection();
        self::port($db);
        $pid = pg_get_pid($db->connID);
        $db->reconnect();
        self::assertSame($pid, pg_get_pid($db->connID));
        self::terminate($db);
        $db->reconnect();
        self::assertNotSame($pid, pg_get_pid($db->connID));
    }

    public function testAStatementThatMayBeDoneIsNotSentAgain(): void
    {
        $db = self::connection();
        $proxy = $this->throughProxy(Proxy::PASS);
        $db->query(self::INSERT . '(1)');
        $proxy->will(Proxy::CLOSE);

        $error = self::thrown(static fn() => $db->query(self::INSERT . '(2)'));

        self::assertInstanceOf(self::framework(), $error);
        self::assertSame(Verdict::InDoubt, \HaDsn::verdict($error, Phase::Autocommit));
        $proxy->will(Proxy::PASS);
        $db->query(self::INSERT . '(3)');
        self::assertSame([1, 3], self::entries($this->leader));
        $proxy->stop();
    }

    /** @dataProvider debugging */
    public function testATransactionThatLostItsLeaderIsNeverHalfWritten(bool $isDebugging): void
    {
        $db = self::connection(['DBDebug' => $isDebugging]);
        $db->transStart();
        $db->query(self::INSERT . '(1)');
        self::terminate($db);

        $lost = self::thrown(static fn() => $db->query(self::INSERT . '(2)'));
        self::assertInstanceOf(TransactionLostException::class, $lost);
        self::assertStringStartsWith('the leader went in a transaction: nothing of it was written', $lost->getMessage());
        self::assertSame(Verdict::Retry, \HaDsn::verdict($lost, Phase::InTransaction));
        // The application has caught that and goes on.
        foreach ([
            static fn() => $db->query(self::INSERT . '(3)'),
            static fn() => $db->simpleQuery(self::INSERT . '(4)'),
            static fn() => $db->table('entry')->insert(['number' => 5]),
            static fn() => $db->initialize(),
            static function () use ($db): void {
                $db->reconnect();
                $db->query(self::INSERT . '(6)');
            },
            static function () use ($db): void {
                $db->close();
                $db->query(self::INSERT . '(7)');
            },
            static function () use ($db): void {
                $db->transStart();
                try {
                    $db->query(self::INSERT . '(8)');
                } finally {
                    $db->transRollback();
                }
            },
            static fn() => $db->transComplete(),
        ] as $next) {
            self::assertInstanceOf(TransactionLostException::class, self::thrown($next));
        }
        self::assertSame([], self::entries($this->leader));

        // And again, from the beginning.
        $db->transStart();
        $db->query(self::INSERT . '(1)');
        $db->query(self::INSERT . '(2)');
        self::assertTrue($db->transComplete());
        self::assertSame([1, 2], self::entries($this->leader));
    }

    /** @return iterable<string, array{bool}> */
    public static function debugging(): iterable
    {
        yield 'DBDebug' => [true];
        yield 'without DBDebug' => [false];
    }

    public function testALostTransactionThatIsRolledBackIsOver(): void
    {
        $db = self::connection();
        $db->transStart();
        $db->transStart();
        self::terminate($db);
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(1)')));
        self::assertTrue($db->transRollback());
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(1)')), 'the outer one is open');
        self::assertTrue($db->transRollback());

        $db->query(self::INSERT . '(2)');
        self::assertSame([2], self::entries($this->leader));
        self::assertTrue($db->transStatus());
    }

    public function testATransactionInWhichSomebodyClosesIsLost(): void
    {
        $db = self::connection();
        $db->transStart();
        $db->query(self::INSERT . '(1)');
        $db->close();

        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(2)')));
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->transComplete()));
        self::assertSame([], self::entries($this->leader));
    }

    public function testALossBeforeCommitIsNoDoubt(): void
    {
        $db = self::connection();
        $db->transStart();
        $db->query(self::INSERT . '(1)');
        self::terminate($db);

        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->transComplete()));
        self::assertSame([], self::entries($this->leader));
        self::assertTrue($db->query(self::INSERT . '(2)'));
    }

    /**
     * @dataProvider commits
     *
     * @param list<int> $entries
     */
    public function testACommitWithoutAnAnswerIsReported(string $cut, array $entries): void
    {
        $proxy = $this->throughProxy(Proxy::PASS);
        $db = self::connection();
        $db->transStart();
        $db->query(self::INSERT . '(1)');
        $proxy->will($cut);

        $unknown = self::thrown(static fn() => $db->transComplete());

        self::assertInstanceOf(CommitUnknownException::class, $unknown);
        self::assertSame(Verdict::InDoubt, \HaDsn::verdict($unknown, Phase::InTransaction));
        $proxy->will(Proxy::PASS);
        $db->query(self::INSERT . '(2)');
        self::assertSame($entries, self::entries($this->leader));
        $proxy->stop();
    }

    /** @return iterable<string, array{string, list<int>}> */
    public static function commits(): iterable
    {
        yield 'the server has not got it' => [Proxy::CLOSE_BEFORE_COMMIT, [2]];
        yield 'the server has carried it out' => [Proxy::CLOSE_AFTER_COMMIT, [1, 2]];
    }

    public function testACommitThatTheServerRefusesIsAnError(): void
    {
        $this->leader->connect()->exec('CREATE TABLE late (number bigint REFERENCES entry DEFERRABLE INITIALLY DEFERRED)');
        $db = self::connection();
        $db->transStart();
        $db->query('INSERT INTO late VALUES (1)');

        $error = self::thrown(static fn() => $db->transComplete());
        $this->leader->connect()->exec('DROP TABLE late');

        self::assertInstanceOf(self::framework(), $error);
        self::assertStringStartsWith('SQLSTATE[23503]', $error->getMessage());
        self::assertTrue($db->transStart());
        $db->query(self::INSERT . '(1)');
        self::assertTrue($db->transComplete());
    }

    public function testATransactionWithAFailedStatementIsNotReportedAsCommitted(): void
    {
        $db = self::connection();
        foreach (['transComplete', 'transCommit'] as $end) {
            $db->transBegin();
            $db->query(self::INSERT . '(1)');
            self::assertInstanceOf(self::framework(), self::thrown(static fn() => $db->query(self::INSERT . '(1)')));
            if ($end === 'transComplete') {
                self::assertFalse($db->transComplete());
            } else {
                self::assertInstanceOf(self::framework(), self::thrown(static fn() => $db->transCommit()));
            }
            self::assertSame([], self::entries($this->leader));
        }
        $db->query(self::INSERT . '(2)');
        self::assertSame([2], self::entries($this->leader));
    }

    public function testAWriteThatMeetsAFormerLeaderIsSentToTheNewOne(): void
    {
        $old = $this->leader;
        $db = $this->onAFormerLeader();

        self::assertTrue($db->query(self::INSERT . '(1)'));
        self::assertSame([[], [1]], [self::entries($old), self::entries($this->leader)]);
    }

    public function testATransactionThatMeetsAFormerLeaderIsLost(): void
    {
        $old = $this->leader;
        $db = $this->onAFormerLeader();
        $db->transStart();

        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(1)')));
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(2)')));
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->transComplete()));
        $db->query(self::INSERT . '(3)');
        self::assertSame([[], [3]], [self::entries($old), self::entries($this->leader)]);
    }

    public function testAReadOnlyTransactionOfTheApplicationIsItsOwnBusiness(): void
    {
        $db = self::connection();
        $db->transStart();
        $pid = pg_get_pid($db->connID);
        $db->query('SET TRANSACTION READ ONLY');

        foreach ([1, 2] as $number) {
            $error = self::thrown(static fn() => $db->query(self::INSERT . "($number)"));
            self::assertInstanceOf(self::framework(), $error);
            self::assertStringStartsWith('SQLSTATE[25006]', $error->getMessage());
        }
        self::assertFalse($db->transComplete());
        self::assertSame([], self::entries($this->leader));
        $db->query(self::INSERT . '(3)');
        self::assertSame($pid, pg_get_pid($db->connID));
        self::assertSame([3], self::entries($this->leader));
    }

    public function testAPreparedQueryOutlivesItsConnection(): void
    {
        $db = self::connection();
        $insert = $db->prepare(static fn($db) => $db->table('entry')->insert(['number' => 1]));
        $insert->execute(1);
        self::terminate($db);
        $insert->execute(2);
        self::assertTrue($insert->close());

        $select = $db->prepare(static fn($db) => (new \CodeIgniter\Database\Query($db))->setQuery('SELECT number FROM entry WHERE number > ? ORDER BY number'));
        self::assertSame([['number' => '2']], $select->execute(1)->getResultArray());
        self::assertInstanceOf(self::framework(), self::thrown(static fn() => $select->execute('x')));

        $db->transStart();
        self::terminate($db);
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $select->execute(1)));
        $db->transRollback();
    }

    public function testReadsOfAReplicaAreSentAgain(): void
    {
        $replica = new Postgres();
        $replica->write('standby.signal', '');
        $replica->up(['wal_level' => 'replica', 'shared_buffers' => '8MB', 'max_wal_senders' => 10]);
        $this->patroni->answers(Answer::members($this->leader->asLeader(), ['name' => 'two'] + $replica->asReplica()));
        \HaDsn::invalidate();
        $db = self::connection(['role' => 'reader']);
        self::assertSame($replica->port, self::port($db));
        $admin = self::connection(['role' => 'reader', 'username' => 'postgres', 'password' => 'postgres']);
        self::port($admin);
        $pid = pg_get_pid($admin->connID);

        // The first time it ends its own connection, in the middle.
        $row = $admin->query("SELECT pg_terminate_backend($pid) AS ended, pg_sleep(0.1)")->getRow();

        self::assertSame('f', $row->ended);
        self::assertNotSame($pid, pg_get_pid($admin->connID));
        // A write there is a mistake of the application.
        $error = self::thrown(static fn() => $db->query(self::INSERT . '(1)'));
        self::assertStringContainsString('SQLSTATE[', $error->getMessage());
        $replica->stop();
    }

    public function testWhatCanNotBeConnectedToIsReportedWithItsReason(): void
    {
        $this->patroni->answers(Answer::members(Nodes::leader('pg1', '127.0.0.1', ['port' => (int) explode(':', self::deadAddress())[1]])));
        \HaDsn::configure(self::url($this->patroni, 'failover_timeout=300ms'));
        $db = self::connection(['password' => 'a secret']);

        $error = self::thrown(static fn() => $db->query('SELECT 1'));

        self::assertInstanceOf(DatabaseException::class, $error);
        self::assertStringContainsString('Connection refused', $error->getMessage());
        self::assertSame(Verdict::Retry, \HaDsn::verdict($error, Phase::Autocommit));
        self::assertStringNotContainsString('a secret', (string) $error . Framework::boot()->log());
    }

    public function testAWrongPasswordIsReportedAtOnce(): void
    {
        $db = self::connection(['password' => 'wrong secret']);

        $seconds = self::seconds(static fn() => self::assertThrows(DatabaseException::class, static fn() => $db->query('SELECT 1'), 'password authentication failed'));

        self::assertLessThan(3.0, $seconds);
        self::assertStringNotContainsString('wrong secret', Framework::boot()->log());
    }

    public function testPersistentConnectionsAreRefused(): void
    {
        $error = self::assertThrows(DatabaseException::class, static fn() => self::connection(['pConnect' => true])->query('SELECT 1'), 'option pConnect: expected false');
        self::assertInstanceOf(ConfigException::class, $error->getPrevious());
        self::assertThrows(DatabaseException::class, static fn() => self::connection(['role' => 'boss'])->query('SELECT 1'), 'option role "boss": expected writer or reader');
    }

    public function testTheRegistrarAddsItsGroupsAndLeavesTheOthersAlone(): void
    {
        $config = new \Config\Database();
        $before = get_class_vars(\Config\Database::class);

        self::assertSame($before['default'], $config->default);
        self::assertSame('default', $config->defaultGroup);
        self::assertSame(['HaDsn\CodeIgniter', 'writer'], [$config->hadsn['DBDriver'], $config->hadsn['role']]);
        self::assertSame('reader', $config->hadsn_reader['role']);
    }

    /** What this version of CodeIgniter throws for a failed statement. */
    private static function framework(): string
    {
        return is_subclass_of(DatabaseException::class, \Exception::class) ? DatabaseException::class : \ErrorException::class;
    }

    private function throughProxy(string $mode): Proxy
    {
        $proxy = new Proxy(Postgres::HOST, $this->leader->port, $mode);
        $this->patroni->answers(Answer::members(Nodes::leader('own', Proxy::HOST, ['port' => $proxy->port, 'timeline' => null])));
        \HaDsn::configure(self::url($this->patroni, 'failover_timeout=5s&sslmode=disable&gssencmode=disable'));
        \HaDsn::invalidate();

        return $proxy;
    }

    /** A connection to a server that took part in a switchover behind a pooler's back: it refuses writes and calls itself a replica. */
    private function onAFormerLeader(): \HaDsn\CodeIgniter\Connection
    {
        $old = $this->leader->connect('postgres');
        $old->exec('DROP SCHEMA IF EXISTS standby CASCADE; CREATE SCHEMA standby; GRANT USAGE ON SCHEMA standby TO app');
        $db = self::connection();
        $db->query('SET default_transaction_read_only = on');
        $old->exec('CREATE FUNCTION standby.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS $$SELECT true$$');
        $db->query('SET search_path TO public, standby, pg_catalog');
        $this->moveTo(self::server(1));

        return $db;
    }
}
