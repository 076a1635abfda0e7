<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use CodeIgniter\Database\Exceptions\DatabaseException;
use HaDsn\CodeIgniter\TransactionLostException;
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

    public function testAnErrorIsThatOfTheLastStatement(): void
    {
        $db = self::connection(['DBDebug' => false]);
        $db->query(self::INSERT . '(1)');
        $db->query(self::INSERT . '(1)');
        self::assertSame('23505', $db->error()['code']);
        $db->query(self::INSERT . '(2)');

        self::assertSame(['code' => '', 'message' => ''], $db->error());
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

    /** select(2) can't look at descriptors from 1024 on, and PHP warns of it: CodeIgniter makes an exception of a warning. */
    public function testAConnectionOfAProcessWithManyFilesIsReplacedUnnoticed(): void
    {
        $files = array_map(static fn(): mixed => fopen('/dev/null', 'r'), range(1, 1100));
        $warnings = [];
        set_error_handler(static function (int $level, string $text) use (&$warnings): bool {
            $warnings[] = $text;

            return true;
        });
        try {
            $db = self::connection();
            $db->query(self::INSERT . '(1)');
            self::terminate($db);
            self::assertTrue($db->query(self::INSERT . '(2)'));
        } finally {
            restore_error_handler();
            array_map(fclose(...), $files);
        }
        self::assertSame([], $warnings);
        self::assertSame([1, 2], self::entries($this->leader));
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

    public function testAWriteThatMeetsAFormerLeaderIsSentToTheNewOne(): void
    {
        $old = $this->leader;
        $db = $this->onAFormerLeader();

        self::assertTrue($db->query(self::INSERT . '(1)'));
        self::assertSame([[], [1]], [self::entries($old), self::entries($this->leader)]);
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

    public function testACopyIsGoneOnWithByHand(): void
    {
        $db = self::connection();
        self::assertTrue($db->query('COPY entry FROM STDIN'));
        pg_put_line($db->connID, "1\n\\.\n");
        pg_end_copy($db->connID);
        $db->query(self::INSERT . '(2)');

        self::assertSame([1, 2], self::entries($this->leader));
    }

    public function testAPasswordStandsInNoTrace(): void
    {
        $this->patroni->answers(Answer::members(Nodes::leader('pg1', '127.0.0.1', ['port' => (int) explode(':', self::deadAddress())[1]])));
        \HaDsn::configure(self::url($this->patroni, 'failover_timeout=300ms'));
        $db = self::connection(['password' => 'a secret']);
        foreach ([static fn() => $db->query('SELECT 1'), static fn() => $db->connect(), static fn() => $db->transStart()] as $call) {
            for ($error = self::thrown($call); $error !== null; $error = $error->getPrevious()) {
                foreach ($error->getTrace() as $frame) {
                    // What an error page shows of arguments. An object is shown by its class.
                    $arguments = $frame['args'] ?? [];
                    array_walk_recursive($arguments, static fn(mixed $value) => self::assertStringNotContainsString('a secret', is_string($value) ? $value : ''));
                }
            }
        }
    }

    public function testTheGroupsOptionsOfLibpqCount(): void
    {
        $db = self::connection(['options' => '-c statement_timeout=1234', 'schema' => 'pg_catalog', 'charset' => 'LATIN1']);
        $shown = $db->query("SELECT current_setting('statement_timeout') AS a, current_setting('search_path') AS b, current_setting('client_encoding') AS c")->getRowArray();
        self::assertSame(['a' => '1234ms', 'b' => 'pg_catalog, public', 'c' => 'LATIN1'], $shown);

        self::assertThrows(DatabaseException::class, static fn() => self::connection(['sslmode' => 'require'])->query('SELECT 1'), 'server does not support SSL');
        $seconds = self::seconds(static fn() => self::assertThrows(DatabaseException::class, static fn() => self::connection(['charset' => 'utf8mb4'])->query('SELECT 1'), 'utf8mb4'));
        self::assertLessThan(3.0, $seconds);
    }

    public function testPersistentConnectionsAreRefused(): void
    {
        $error = self::assertThrows(DatabaseException::class, static fn() => self::connection(['pConnect' => true])->query('SELECT 1'), 'option pConnect: expected false');
        self::assertInstanceOf(ConfigException::class, $error->getPrevious());
        self::assertThrows(ConfigException::class, static fn() => self::connection()->persistentConnect(), 'option pConnect: expected false');
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
}
