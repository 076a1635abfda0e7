<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use Doctrine\DBAL\Configuration;
use Doctrine\DBAL\Connection;
use Doctrine\DBAL\DriverManager;
use HaDsn;
use HaDsn\Doctrine\Middleware;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * A test of Doctrine DBAL with one server of the test's own, which a fake Patroni calls the leader, and a network that can be broken. Every
 * test has an empty table `entry`.
 */
abstract class DoctrineTestCase extends UnitTestCase
{
    protected const CREDENTIALS = ['driver' => 'pdo_pgsql', 'user' => 'app', 'password' => 'app', 'dbname' => 'app'];

    protected static Postgres $server;
    protected Proxy $network;
    protected FakePatroni $patroni;

    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/autoload.php';
        self::$server = (new Postgres())->up();
    }

    public static function tearDownAfterClass(): void
    {
        self::$server->stop();
    }

    protected function setUp(): void
    {
        $this->network = new Proxy(Postgres::HOST, self::$server->port);
        $this->patroni = $this->cluster($this->leader());
        self::configure($this->patroni, 'sslmode=disable&gssencmode=disable&failover_timeout=5s');
        self::$server->connect()->exec('DROP TABLE IF EXISTS entry; CREATE TABLE entry (number bigint PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)');
    }

    protected function tearDown(): void
    {
        $this->network->stop();
        parent::tearDown();
    }

    /**
     * The server, behind the network, as Patroni describes it.
     *
     * @return array<string, mixed>
     */
    protected function leader(): array
    {
        return Nodes::leader('own', Proxy::HOST, ['port' => $this->network->port, 'timeline' => null]);
    }

    /**
     * @param array<string, mixed>                     $more        parameters
     * @param list<\Doctrine\DBAL\Driver\Middleware>|null $middlewares
     */
    protected static function connection(array $more = [], ?array $middlewares = null): Connection
    {
        $configuration = new Configuration();
        $configuration->setMiddlewares($middlewares ?? [new Middleware()]);

        return DriverManager::getConnection($more + self::CREDENTIALS, $configuration);
    }

    /** Ends the server's side of a connection, which has not noticed it when this returns. */
    protected static function terminate(Connection $db): void
    {
        $pid = (int) $db->fetchOne('SELECT pg_backend_pid()');
        self::assertTrue(self::$server->connect('postgres')->query("SELECT pg_terminate_backend($pid, 5000)")->fetchColumn());
    }

    protected static function insert(Connection $db, int $number): void
    {
        $db->executeStatement('INSERT INTO entry VALUES (?)', [$number]);
    }

    /** @return list<int> the numbers in the table */
    protected static function entries(): array
    {
        return self::$server->connect()->query('SELECT number FROM entry ORDER BY number')->fetchAll(\PDO::FETCH_COLUMN);
    }

    /** What hadsn thinks of the cluster. */
    protected static function state(): string
    {
        return HaDsn::status()['clusters']['default']['state'];
    }
}
