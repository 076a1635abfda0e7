<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use HaDsn\CodeIgniter\TransactionLostException;
use HaDsn\CommitUnknownException;
use HaDsn\Phase;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Process;
use HaDsn\Verdict;

/**
 * What an application sees of the driver's transactions: a unit is written as a whole or not at all, and it is told which.
 */
final class TransactionsTest extends DriverTestCase
{
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

    /** What the application began with SQL nobody counts: it is told of the loss all the same, and the rest does not run outside. */
    public function testATransactionOfItsOwnThatEndedIdleIsLost(): void
    {
        $db = self::connection();
        foreach ([static fn() => null, static fn() => $db->reconnect()] as $meanwhile) {
            $db->query('BEGIN');
            $db->query(self::INSERT . '(1)');
            self::terminate($db);
            $meanwhile();

            self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(2)')));
            self::assertSame([], self::entries($this->leader));
        }
    }

    /** @dataProvider glances */
    public function testATransactionOfItsOwnIsNotForgottenWhenItsEndGoesUnnoticed(string $glance): void
    {
        $db = self::connection();
        $prepared = $db->prepare(static fn($db) => $db->table('entry')->insert(['number' => 0]));
        $db->query('BEGIN');
        $prepared->execute(1);
        self::terminate($db);
        // Neither tells the application of the loss by an exception.
        $glance === 'ping' ? self::assertFalse((static fn(): bool => $db->_ping())->bindTo(null, $db::class)()) : $prepared->close();

        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(2)')));
        self::assertSame([], self::entries($this->leader));
        self::assertTrue($db->query(self::INSERT . '(3)'));
    }

    /** @return iterable<string, array{string}> */
    public static function glances(): iterable
    {
        yield 'ping()' => ['ping'];
        yield 'close() of a prepared query' => ['close'];
    }

    public function testAReadOnlyTransactionOfItsOwnIsNotLeft(): void
    {
        $db = self::connection();
        $db->query('BEGIN READ ONLY');
        self::assertStringStartsWith('SQLSTATE[25006]', self::thrown(static fn() => $db->query(self::INSERT . '(1)'))->getMessage());

        self::assertStringStartsWith('SQLSTATE[25P02]', self::thrown(static fn() => $db->query(self::INSERT . '(2)'))->getMessage());
        $db->query('ROLLBACK');
        $db->query(self::INSERT . '(3)');
        self::assertSame([3], self::entries($this->leader));
    }

    public function testATransactionOfItsOwnThatMeetsAFormerLeaderFailsAndTheNextGoesToTheNewOne(): void
    {
        $old = $this->leader;
        $db = $this->onAFormerLeader();
        $db->query('BEGIN');
        self::assertStringStartsWith('SQLSTATE[25006]', self::thrown(static fn() => $db->query(self::INSERT . '(1)'))->getMessage());
        self::assertStringStartsWith('SQLSTATE[25P02]', self::thrown(static fn() => $db->query(self::INSERT . '(2)'))->getMessage());
        $db->query('ROLLBACK');

        $db->query('BEGIN');
        $db->query(self::INSERT . '(3)');
        $db->query('COMMIT');
        self::assertSame([[], [3]], [self::entries($old), self::entries($this->leader)]);
    }

    public function testATransactionThatCanNotBeginThrowsWhateverDbDebugSays(): void
    {
        $db = self::connection(['DBDebug' => false]);
        // One of its own, in which something has failed.
        $db->query('BEGIN');
        self::assertFalse($db->query('SELECT 1/0'));

        self::assertInstanceOf(self::framework(), self::thrown(static fn() => $db->transStart()));
        $db->query('ROLLBACK');
        self::assertTrue($db->transStart() && $db->transComplete());
    }

    public function testWhoForgetsTheConnectionGetsItBack(): void
    {
        $db = self::connection();
        $db->transStart();
        $db->query(self::INSERT . '(1)');
        $db->connID = false;
        $db->query(self::INSERT . '(2)');
        self::assertSame([], self::entries($this->leader), 'still in the transaction');
        self::assertTrue($db->transComplete());

        self::assertSame([1, 2], self::entries($this->leader));
    }

    public function testALossDoesNotForgiveAFailureInStrictMode(): void
    {
        $db = self::connection(['DBDebug' => false]);
        $db->query(self::INSERT . '(1)');
        $db->transStart();
        $db->query(self::INSERT . '(1)');
        self::assertFalse($db->transComplete());
        self::assertFalse($db->transStatus());

        $db->transStart();
        self::terminate($db);
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(2)')));
        $db->transRollback();

        self::assertFalse($db->transStatus());
        $db->transStart();
        $db->query(self::INSERT . '(3)');
        self::assertFalse($db->transComplete());
        $db->transStrict(false);
        self::assertFalse($db->transComplete());
        $db->transStart();
        $db->query(self::INSERT . '(4)');
        self::assertTrue($db->transComplete());
        self::assertSame([1, 4], self::entries($this->leader));
    }

    public function testTestModeWritesNothingAndTellsOfALoss(): void
    {
        $db = self::connection();
        $db->transStart(true);
        $db->query(self::INSERT . '(1)');
        self::assertFalse($db->transComplete());
        $db->transStart(true);
        self::terminate($db);
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->query(self::INSERT . '(1)')));
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $db->transComplete()));

        $db->query(self::INSERT . '(2)');
        self::assertSame([2], self::entries($this->leader));
    }

    public function testACommitThatAnswersWithAConnectionErrorIsInDoubt(): void
    {
        // As a pooler says that it has lost its server, and stays.
        $this->leader->connect()->exec(<<<'SQL'
            CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'server conn crashed' USING ERRCODE = '08006'; END$$;
            CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
            SQL);
        $db = self::connection();
        $db->transStart();
        $db->query(self::INSERT . '(1)');

        self::assertInstanceOf(CommitUnknownException::class, self::thrown(static fn() => $db->transComplete()));
        self::assertSame('08006', $db->error()['code']);
    }

    public function testACommitThatIsAnsweredWithARollbackIsNotReportedAsCommitted(): void
    {
        // A server that has something to say before COMMIT, and cancels the driver's look at it.
        $server = new Process([PHP_BINARY, '-n', '-r', <<<'PHP'
            $listener = stream_socket_server('tcp://127.0.0.1:0');
            echo stream_socket_get_name($listener, false), "\n";
            $message = static fn(string $type, string $content): string => $type . pack('N', 4 + strlen($content)) . $content;
            while (($socket = stream_socket_accept($listener, 60)) !== false) {
                $read = static fn(): string => ($length = fread($socket, 4)) === '' ? '' : fread($socket, unpack('N', $length)[1] - 4);
                $read();
                fwrite($socket, $message('R', pack('N', 0)) . $message('S', "in_hot_standby\0off\0") . $message('S', "default_transaction_read_only\0off\0") . $message('Z', 'I'));
                for ($status = 'I'; fread($socket, 1) === 'Q';) {
                    $sql = $read();
                    $word = strtok($sql, " \0");
                    $status = ['BEGIN' => 'T', 'COMMIT' => 'I'][$word] ?? $status;
                    fwrite($socket, match (true) {
                        str_contains($sql, 'pg_is_in_recovery') => $message('T', pack('n', 1) . "r\0" . pack('NnNnNn', 0, 0, 16, 1, -1, 0)) . $message('D', pack('nN', 1, 1) . 'f') . $message('C', "SELECT 1\0"),
                        $sql === "SELECT 1\0" => $message('E', "SERROR\0C57014\0Mcanceling statement due to statement timeout\0\0"),
                        default => $message('C', $word === 'COMMIT' ? "ROLLBACK\0" : "$word\0"),
                    } . $message('Z', $sql === "SELECT 1\0" ? 'E' : $status) . ($word === 'INSERT' ? $message('S', "application_name\0new\0") : ''));
                }
            }
            PHP]);
        $port = (int) $server->waitFor('~:(\d+)\n~', 20.0)[1];
        $this->patroni->answers(Answer::members(Nodes::leader('own', '127.0.0.1', ['port' => $port, 'timeline' => null])));
        \HaDsn::configure(self::url($this->patroni, 'failover_timeout=5s&sslmode=disable&gssencmode=disable'));
        \HaDsn::invalidate();
        $db = self::connection();
        $db->transStart();
        $db->simpleQuery(self::INSERT . '(1)');

        $error = self::thrown(static fn() => $db->transComplete());

        self::assertInstanceOf(self::framework(), $error);
        self::assertStringContainsString('nothing was committed', $error->getMessage());
    }

    public function testAModelsBatchIsWholeOrNotThere(): void
    {
        $db = self::connection();
        $model = new class ($db) extends \CodeIgniter\Model {
            protected $table = 'entry';
            protected $allowedFields = ['number'];
        };
        $rows = static fn(int $first): array => array_map(static fn(int $number): array => ['number' => $number], range($first, $first + 249));
        $db->transStart();
        self::assertSame(250, $model->insertBatch($rows(1)));
        self::terminate($db);
        self::assertInstanceOf(TransactionLostException::class, self::thrown(static fn() => $model->insertBatch($rows(251))));
        $db->transRollback();
        self::assertSame([], self::entries($this->leader));

        // A model keeps its builder, and that what it was about to write.
        $model->builder()->resetQuery();
        $db->transStart();
        $model->insertBatch($rows(1));
        $model->insertBatch($rows(251));
        self::assertTrue($db->transComplete());
        self::assertCount(500, self::entries($this->leader));
    }
}
