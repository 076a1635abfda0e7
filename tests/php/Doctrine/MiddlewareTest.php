<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use Doctrine\DBAL\Configuration;
use Doctrine\DBAL\Connection;
use Doctrine\DBAL\Connections\PrimaryReadReplicaConnection;
use Doctrine\DBAL\DriverManager;
use Doctrine\DBAL\Exception\ConnectionException;
use Doctrine\DBAL\Exception\ConnectionLost;
use Doctrine\DBAL\Exception\DriverException;
use Doctrine\DBAL\Exception\UniqueConstraintViolationException;
use HaDsn;
use HaDsn\Doctrine\Middleware;
use HaDsn\Doctrine\Transactions;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;

/**
 * Doctrine DBAL connects through hadsn, and knows a lost connection when it sees one.
 */
final class MiddlewareTest extends LabTestCase
{
    private const CREDENTIALS = ['driver' => 'pdo_pgsql', 'user' => 'app', 'password' => 'app', 'dbname' => 'app'];

    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/../Connection/autoload.php';
        require_once '/usr/share/php/Doctrine/DBAL/autoload.php';
        parent::setUpBeforeClass();
    }

    protected function setUp(): void
    {
        HaDsn::configure(Lab::URL);
    }

    public function testItConnectsToTheLeaderWithoutAHost(): void
    {
        self::assertSame(Lab::address(Lab::leader()), self::serverOf(self::connection()));
    }

    public function testTheParameterHadsnChoosesTheRole(): void
    {
        $leader = Lab::address(Lab::leader());

        self::assertNotSame($leader, self::serverOf(self::connection(['hadsn' => 'reader'])));
        self::assertNotSame($leader, self::serverOf(self::connection(['hadsn' => ['role' => 'reader', 'max_lag' => 1 << 30]])));
        self::assertSame($leader, self::serverOf(self::connection(['hadsn' => true])));
        self::assertNotSame($leader, self::serverOf(self::connection(middleware: new Middleware(role: 'reader'))));
        self::assertSame($leader, self::serverOf(self::connection(['hadsn' => 'writer'], new Middleware(role: 'reader'))));
        HaDsn::configure(Lab::URL, 'other');
        self::assertSame($leader, self::serverOf(self::connection(['hadsn' => ['cluster' => 'other']])));
    }

    public function testPrimaryAndReplicasNeedNoHosts(): void
    {
        $db = self::connection([
            'wrapperClass' => PrimaryReadReplicaConnection::class,
            'primary' => self::CREDENTIALS,
            'replica' => [self::CREDENTIALS + ['hadsn' => 'reader']],
        ]);
        $leader = Lab::address(Lab::leader());

        self::assertNotSame($leader, self::serverOf($db));
        self::assertTrue($db->ensureConnectedToPrimary());
        self::assertSame($leader, self::serverOf($db));
    }

    public function testALostConnectionIsReplacedByTheNextStatement(): void
    {
        $db = self::connection();
        foreach ([false, true] as $isInTransaction) {
            if ($isInTransaction) {
                $db->beginTransaction();
            }
            self::kill($db);
            self::assertInstanceOf(ConnectionLost::class, self::caught(static fn() => $db->fetchOne('SELECT 1')));
            self::assertFalse($db->isTransactionActive());
            self::assertSame(1, (int) $db->fetchOne('SELECT 1'));
        }
    }

    public function testAWriteAtAReplicaIsALostConnection(): void
    {
        $db = self::connection(['hadsn' => 'reader']);

        self::assertInstanceOf(
            ConnectionLost::class,
            self::caught(static fn() => $db->executeStatement('CREATE TABLE nowhere ()')),
        );
    }

    public function testOtherErrorsAreWhatTheyWere(): void
    {
        $db = self::connection();
        $db->executeStatement('CREATE TEMPORARY TABLE once (number int PRIMARY KEY)');
        $db->executeStatement('INSERT INTO once VALUES (1)');

        $again = self::caught(static fn() => $db->executeStatement('INSERT INTO once VALUES (1)'));
        self::assertInstanceOf(UniqueConstraintViolationException::class, $again);
        self::assertSame(DriverException::class, get_class(self::caught(static fn() => $db->fetchOne('SELECT 1/0'))));
        $wrong = self::connection(['password' => 'hunter2']);
        $refused = self::caught(static fn() => $wrong->fetchOne('SELECT 1'));
        self::assertInstanceOf(ConnectionException::class, $refused);
        self::assertNotInstanceOf(ConnectionLost::class, $refused);
        self::assertStringNotContainsString('hunter2', (string) $refused);
    }

    public function testATransactionThatIsLostBeforeCommitIsRunAgain(): void
    {
        $db = self::connection();
        $runs = 0;

        $server = Transactions::run($db, static function (Connection $db) use (&$runs): string {
            if (++$runs === 1) {
                self::kill($db);
            }

            return self::serverOf($db);
        });

        self::assertSame([2, Lab::address(Lab::leader())], [$runs, $server]);
        self::assertFalse($db->isTransactionActive());
    }

    public function testATransactionWhoseCommitIsLostIsNotRunAgain(): void
    {
        $db = self::connection();
        $runs = 0;

        $work = static function (Connection $db) use (&$runs): void {
            ++$runs;
            self::kill($db);
        };
        $thrown = self::caught(static fn() => Transactions::run($db, $work));

        self::assertInstanceOf(HaDsn\CommitUnknownException::class, $thrown);
        self::assertInstanceOf(\Throwable::class, $thrown->getPrevious());
        self::assertSame(1, $runs);
    }

    public function testWhatTheWorkThrowsIsThrownAfterARollback(): void
    {
        $db = self::connection();
        $error = new \DomainException('no');

        self::assertSame($error, self::caught(static fn() => Transactions::run($db, static fn() => throw $error)));
        self::assertFalse($db->isTransactionActive());
        $db->beginTransaction();
        $nested = self::caught(static fn() => Transactions::run($db, static fn() => 1));
        self::assertInstanceOf(\LogicException::class, $nested);
        self::assertTrue($db->isTransactionActive());
    }

    public function testBadParametersAreNamed(): void
    {
        foreach (['reader;cluster=other', ['role' => []], ['rolle' => 'reader']] as $bad) {
            $db = self::connection(['hadsn' => $bad]);
            $thrown = self::caught(static fn() => $db->fetchOne('SELECT 1'));
            self::assertMatchesRegularExpression('/role|rolle|hadsn/', $thrown->getMessage());
        }
    }

    /** @param array<string, mixed> $more */
    private static function connection(array $more = [], Middleware $middleware = new Middleware()): Connection
    {
        $configuration = new Configuration();
        $configuration->setMiddlewares([$middleware]);

        return DriverManager::getConnection($more + self::CREDENTIALS, $configuration);
    }

    private static function serverOf(Connection $db): string
    {
        return $db->fetchOne('SELECT host(inet_server_addr())');
    }

    /** Ends the server's side of a connection, as a shutdown of the server does. */
    private static function kill(Connection $db): void
    {
        $pid = (int) $db->fetchOne('SELECT pg_backend_pid()');
        $host = self::serverOf($db);
        Lab::connect("pgsql:host=$host;dbname=app")->query("SELECT pg_terminate_backend($pid, 5000)")->fetchAll();
    }

    private static function caught(callable $call): \Throwable
    {
        try {
            $call();
        } catch (\Throwable $thrown) {
            return $thrown;
        }
        self::fail('nothing was thrown');
    }
}
