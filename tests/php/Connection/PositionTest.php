<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\ConfigException;
use HaDsn\TransactionException;
use HaDsn\Tests\Support\Lab;
use PDO;

/**
 * Reading what was written: position() and reader($after).
 */
final class PositionTest extends ConnectionTestCase
{
    public function testThereIsNoneBeforeTheLeaderWasUsed(): void
    {
        $db = self::connection();
        self::assertNull($db->position());

        $db->reader();
        self::assertNull($db->position());

        $db->writer();
        self::assertNotNull($db->position());
    }

    public function testAReaderSeesWhatWasWrittenBeforeAPosition(): void
    {
        $db = self::connection();
        $db->reader();
        for ($number = 1; $number <= 20; ++$number) {
            $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . "($number)"));
            $reader = $db->reader($db->position());
            self::assertSame($number, Lab::ask($reader, 'SELECT max(number) FROM entry'));
        }
    }

    public function testAReaderThatHasReplayedThatFarIsKept(): void
    {
        $db = self::connection();
        $db->writer();
        $token = $db->position();
        $reader = $db->reader($token);

        self::assertSame($reader, $db->reader($token));
        self::assertSame($reader, $db->reader());
    }

    public function testAReplicaThatHasComeThatFarMeanwhileIsKept(): void
    {
        $db = self::connection();
        $reader = $db->reader();
        self::makeItsTimelineKnown(Lab::connect('pgsql:dbname=app;host=' . self::server($reader), 'postgres', 'postgres'));
        $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));
        $token = $db->position();
        self::await(static fn(): bool => Lab::ask($reader, 'SELECT count(*) FROM entry') === 1, 'the replica has it');

        self::await(static fn(): bool => \HaDsn::position($reader) >= $token, 'the replica has come that far');
        self::assertSame($reader, $db->reader($token));
    }

    public function testAReplicaThatIsBehindIsNotReadFrom(): void
    {
        $db = self::connection();
        $replica = self::server($db->reader());
        $admin = Lab::connect("pgsql:dbname=app;host=$replica", 'postgres', 'postgres');
        self::makeItsTimelineKnown($admin);
        $admin->exec('SELECT pg_wal_replay_pause()');
        try {
            $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));
            $reader = $db->reader($db->position());

            self::assertNotSame($replica, self::server($reader));
            self::assertSame(1, Lab::ask($reader, 'SELECT max(number) FROM entry'));
        } finally {
            $admin->exec('SELECT pg_wal_replay_resume()');
        }
    }

    public function testAPositionOfAnotherTimelineIsReadFromTheLeader(): void
    {
        $db = self::connection();
        $db->reader();

        self::assertFalse(Lab::ask($db->reader('h1-4294967295-0/1'), 'SELECT pg_is_in_recovery()'));
    }

    public function testItIsRefusedInATransaction(): void
    {
        $db = self::connection();

        $db->transaction(static function () use ($db): void {
            $thrown = self::assertThrows(TransactionException::class, static fn() => $db->position(), 'position(): a transaction is open');
            self::assertInstanceOf(\LogicException::class, $thrown);
            self::assertInstanceOf(\HaDsn\Exception::class, $thrown);
        });
        $db->writer()->beginTransaction();
        self::assertThrows(TransactionException::class, static fn() => $db->position());
        $db->writer()->rollBack();
        self::assertNotNull($db->position());
    }

    public function testItIsAskedAgainWhenTheConnectionIsLost(): void
    {
        $db = self::connection();
        self::terminate($db->writer());
        self::assertNotNull($db->position());

        $writer = $db->writer();
        self::assertLost(self::thrown(static fn() => $writer->exec(self::END_OF_THIS_CONNECTION)));
        self::assertNotNull($db->position());
    }

    /** A replica knows the timeline of its last restart point. */
    private static function makeItsTimelineKnown(PDO $replica): void
    {
        self::elsewhere('postgres')->exec('CHECKPOINT');
        self::await(static function () use ($replica): bool {
            $replica->exec('CHECKPOINT');

            return Lab::ask($replica, 'SELECT timeline_id FROM pg_control_checkpoint()') === \HaDsn::topology()->timeline;
        }, 'the replica knows its timeline');
    }

    /**
     * @dataProvider states
     */
    public function testWhatIsNoTokenIsRefused(bool $isConnected): void
    {
        $db = self::connection();
        if ($isConnected) {
            $db->reader();
        }

        self::assertThrows(ConfigException::class, static fn() => $db->reader('yesterday'), 'yesterday');
    }

    /** @return iterable<string, array{bool}> */
    public static function states(): iterable
    {
        yield 'before there is a connection' => [false];
        yield 'when there is one' => [true];
    }
}
