<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Phase;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Verdict;

/**
 * What hadsn says of exceptions that frameworks have made of PDO's.
 */
final class VerdictChainsTest extends UnitTestCase
{
    private const MISLEADING = "insert into notes values ('server closed the connection unexpectedly, SQLSTATE[57P01] Connection refused')";

    public function testTheTextOfAStatementIsNotTakenForAnError(): void
    {
        $duplicate = self::pdo('23505', 'ERROR:  duplicate key value violates unique constraint');

        self::assertSame(Verdict::Unrelated, HaDsn::verdict(self::laravel($duplicate), Phase::Autocommit));
        self::assertSame(Verdict::Unrelated, HaDsn::verdict(self::doctrine($duplicate), Phase::Autocommit));
    }

    public function testWhatAFrameworkWrapsIsFound(): void
    {
        $lost = self::pdo('HY000', 'server closed the connection unexpectedly');
        foreach ([self::laravel($lost), self::doctrine($lost), new \RuntimeException('the order could not be placed', 0, $lost)] as $error) {
            self::assertSame(Verdict::InDoubt, HaDsn::verdict($error, Phase::Autocommit));
            self::assertSame(Verdict::InDoubt, HaDsn::verdict($error));
            self::assertSame(Verdict::Retry, HaDsn::verdict($error, Phase::InTransaction));
        }
        self::assertSame(Verdict::Retry, HaDsn::verdict(self::doctrine(self::pdo('25006', 'ERROR:  cannot execute INSERT in a read-only transaction'))));
    }

    /** @dataProvider texts */
    public function testATextAloneIsRead(string $text, Verdict $verdict): void
    {
        // CodeIgniter's DatabaseException carries nothing else.
        self::assertSame($verdict, HaDsn::verdict(new \RuntimeException($text), Phase::Autocommit));
    }

    /** @return iterable<int, array{string, Verdict}> */
    public static function texts(): iterable
    {
        yield ['pg_query(): Query failed: ERROR:  cannot execute INSERT in a read-only transaction', Verdict::Retry];
        yield ['pg_query(): Query failed: FATAL:  terminating connection due to administrator command', Verdict::InDoubt];
        yield ['pg_connect(): Unable to connect to PostgreSQL server: connection to server at "10.0.0.1", port 5432 failed: Connection refused', Verdict::Retry];
        yield ['pg_query(): Query failed: ERROR:  duplicate key value violates unique constraint "t_pkey"', Verdict::Unrelated];
        yield ['Unable to connect to the database.', Verdict::Unrelated];
    }

    public function testTheWorstOfAChainDecides(): void
    {
        $lost = self::pdo('HY000', 'server closed the connection unexpectedly');
        $refused = self::pdo('08006', 'connection to server at "10.0.0.1", port 5432 failed: Connection refused', $lost);

        self::assertSame(Verdict::InDoubt, HaDsn::verdict($refused, Phase::Autocommit));
    }

    public function testExceptionsOfHadsnSayThatNothingWasDone(): void
    {
        foreach ([HaDsn\NoLeaderException::class, HaDsn\NoReplicaException::class, HaDsn\DiscoveryException::class] as $class) {
            foreach (Phase::cases() as $phase) {
                self::assertSame(Verdict::Retry, HaDsn::verdict(new $class('x'), $phase));
                self::assertSame(Verdict::Retry, HaDsn::verdict(self::pdo('08006', 'x', new $class('x')), $phase));
            }
        }
        self::assertSame(Verdict::Unrelated, HaDsn::verdict(new HaDsn\ConfigException('x')));
    }

    public function testALossThatCameLaterIsNotExplainedByThem(): void
    {
        // As `try { … no leader … } finally { $pdo->commit(); }` chains them.
        foreach ([new HaDsn\NoLeaderException('x'), new HaDsn\ConfigException('x')] as $earlier) {
            $lost = self::pdo('HY000', 'server closed the connection unexpectedly', $earlier);
            self::assertSame(Verdict::InDoubt, HaDsn::verdict($lost, Phase::Commit));
        }
    }

    public function testAMistakeOfTheProgramIsNoFailover(): void
    {
        foreach ([['08P01', 'ERROR:  bind message supplies 1 parameters, but prepared statement "" requires 2'], ['HY000', 'number of parameters must be between 0 and 65535']] as [$state, $text]) {
            self::assertSame(Verdict::Unrelated, HaDsn::verdict(self::pdo($state, $text), Phase::InTransaction));
        }
        self::assertSame(Verdict::InDoubt, HaDsn::verdict(self::pdo('08P01', 'FATAL:  server conn crashed?'), Phase::Autocommit));
    }

    public function testWhatIsMalformedDoesNoHarm(): void
    {
        $infos = [null, [], ['57P01'], [1, 2, 3], [[], [], []], ['x' => 'y'], [null, null, null], ["57P01\0", '7', new \stdClass()]];
        foreach ($infos as $info) {
            $error = new \PDOException('x');
            $error->errorInfo = $info;
            self::assertInstanceOf(Verdict::class, HaDsn::verdict($error, Phase::Commit));
        }
        self::assertSame(Verdict::Unrelated, HaDsn::verdict(new \Error('x')));
        self::assertSame(Verdict::Unrelated, HaDsn::verdict(new \Exception(str_repeat("\xff", 100))));
    }

    public function testALongChainIsReadToItsLimit(): void
    {
        $error = self::pdo('HY000', 'no connection to the server');
        for ($i = 0; $i < 20; $i++) {
            $error = new \RuntimeException("layer $i", 0, $error);
        }
        self::assertSame(Verdict::InDoubt, HaDsn::verdict($error));
        for ($i = 0; $i < 10_000; $i++) {
            $error = new \RuntimeException("layer $i", 0, $error);
        }
        self::assertInstanceOf(Verdict::class, HaDsn::verdict($error));
    }

    private static function pdo(string $state, string $text, ?\Throwable $previous = null): \PDOException
    {
        $error = new \PDOException("SQLSTATE[$state]: $text", 0, $previous);
        $error->errorInfo = [$state, 7, $text];

        return $error;
    }

    /** As Illuminate\Database\QueryException does it. */
    private static function laravel(\PDOException $cause): \PDOException
    {
        $error = new \PDOException("{$cause->getMessage()} (SQL: " . self::MISLEADING . ')', 0, $cause);
        $error->errorInfo = $cause->errorInfo;

        return $error;
    }

    /** As Doctrine\DBAL\Exception\DriverException does it. */
    private static function doctrine(\PDOException $cause): \Exception
    {
        $driver = new \Exception($cause->getMessage(), 7, $cause);

        return new \Exception("An exception occurred while executing a query: {$cause->getMessage()} " . self::MISLEADING, 7, $driver);
    }
}
