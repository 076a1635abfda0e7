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
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;

/**
 * Doctrine DBAL connects through hadsn, to the members of a real cluster.
 */
final class MiddlewareTest extends LabTestCase
{
    private const CREDENTIALS = ['driver' => 'pdo_pgsql', 'user' => 'app', 'password' => 'app', 'dbname' => 'app'];

    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/autoload.php';
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
        $db->ensureConnectedToPrimary();
        self::assertSame($leader, self::serverOf($db));
    }

    public function testAWriteAtAReplicaIsALostConnection(): void
    {
        $db = self::connection(['hadsn' => 'reader']);

        self::assertInstanceOf(
            ConnectionLost::class,
            self::thrown(static fn() => $db->executeStatement('CREATE TABLE nowhere ()')),
        );
    }

    public function testOtherErrorsAreWhatTheyWere(): void
    {
        $db = self::connection();
        $db->executeStatement('CREATE TEMPORARY TABLE once (number int PRIMARY KEY)');
        $db->executeStatement('INSERT INTO once VALUES (1)');

        $again = self::thrown(static fn() => $db->executeStatement('INSERT INTO once VALUES (1)'));
        self::assertInstanceOf(UniqueConstraintViolationException::class, $again);
        self::assertSame(DriverException::class, get_class(self::thrown(static fn() => $db->fetchOne('SELECT 1/0'))));
        $wrong = self::connection(['password' => 'hunter2']);
        $refused = self::thrown(static fn() => $wrong->fetchOne('SELECT 1'));
        self::assertInstanceOf(ConnectionException::class, $refused);
        self::assertNotInstanceOf(ConnectionLost::class, $refused);
        self::assertStringNotContainsString('hunter2', (string) $refused);
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
}
