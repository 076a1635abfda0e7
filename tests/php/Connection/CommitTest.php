<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\CommitUnknownException;
use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\Fate;
use HaDsn\Testing\Statement;
use PDO;

/**
 * A COMMIT whose answer is lost.
 */
final class CommitTest extends ConnectionTestCase
{
    private FakeCluster $network;

    protected function setUp(): void
    {
        parent::setUp();
        $this->network = self::inFrontOfTheLeader();
    }

    protected function tearDown(): void
    {
        $this->network->stop();
        parent::tearDown();
    }

    /**
     * @dataProvider moments
     *
     * @param list<int> $entries
     */
    public function testItIsReportedAndNotRepeated(string $moment, array $entries): void
    {
        $db = self::connection();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->exec(self::INSERT . '(1)');
        };
        $this->network->$moment('COMMIT')->cut();

        $thrown = self::assertThrows(CommitUnknownException::class, static fn() => $db->transaction($work), 'no answer to COMMIT');

        self::assertLost($thrown->getPrevious());
        self::assertInstanceOf(\RuntimeException::class, $thrown);
        self::assertInstanceOf(\HaDsn\Exception::class, $thrown);
        self::assertSame([null, null], [$thrown->xid, $thrown->token]);
        self::assertSame([1, [$moment === 'before' ? Fate::NotSent : Fate::Unanswered]], [$runs, $this->commits()]);
        self::assertSame('suspect', \HaDsn::status()['clusters']['default']['state']);
        self::assertSame($entries, self::entries());

        $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(2)'));
        self::assertSame([...$entries, 2], self::entries());
    }

    /**
     * @dataProvider moments
     *
     * @param list<int> $entries
     */
    public function testItIsReportedFromATransactionWithInnerOnesAsWell(string $moment, array $entries): void
    {
        $db = self::connection();
        $this->network->$moment('COMMIT')->cut();

        self::assertThrows(CommitUnknownException::class, static fn() => $db->transaction(static function () use ($db): void {
            $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));
        }));
        self::assertSame($entries, self::entries());
    }

    /**
     * @dataProvider moments
     *
     * @param list<int> $entries
     */
    public function testItIsNotRepeatedByAnotherConnectionsTransactionEither(string $moment, array $entries): void
    {
        $outer = self::connection();
        $inner = self::connection();
        $runs = 0;
        $work = function (PDO $pdo) use ($inner, $moment, &$runs): void {
            ++$runs;
            $this->network->$moment('COMMIT')->cut();
            try {
                $inner->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));
            } finally {
                // The outer one's connection breaks too, and it is known.
                self::thrown(static fn() => $pdo->exec(self::END_OF_THIS_CONNECTION));
            }
        };

        self::assertThrows(CommitUnknownException::class, static fn() => $outer->transaction($work));
        self::assertSame(1, $runs);
        self::assertSame($entries, self::entries());
    }

    /** @return iterable<string, array{string, list<int>}> */
    public static function moments(): iterable
    {
        yield 'before the server had it' => ['before', []];
        yield 'after the server had it' => ['after', [1]];
    }

    public function testAStatementOutsideOfATransactionIsNotRepeatedEither(): void
    {
        $db = self::connection();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->beginTransaction();
            $pdo->exec(self::INSERT . '(1)');
            $pdo->commit();
        };
        $this->network->after('COMMIT')->cut();

        self::assertLost(self::thrown(static fn() => $db->run($work)));
        self::assertSame(1, $runs);
        self::assertSame([1], self::entries());
    }

    public function testACommitThatCameThroughIsTold(): void
    {
        self::connection()->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));

        self::assertSame([Fate::Done], $this->commits());
        self::assertSame([1], self::entries());
    }

    /**
     * What became of each COMMIT so far.
     *
     * @return list<Fate>
     */
    private function commits(): array
    {
        return array_map(static fn(Statement $one): Fate => $one->fate, $this->network->statements('COMMIT'));
    }
}
