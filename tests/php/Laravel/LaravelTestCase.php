<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Laravel\PostgresConnection;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Tests\Laravel\app\Application;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * A test of Laravel's components with one server of the test's own, which a fake Patroni calls the leader, and a network that can be broken. Every
 * test has an empty table `entry`.
 */
abstract class LaravelTestCase extends UnitTestCase
{
    protected static Postgres $server;
    protected Proxy $network;

    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/autoload.php';
        self::$server = (new Postgres())->up();
        foreach (['DB_USERNAME' => 'app', 'DB_PASSWORD' => 'app', 'DB_DATABASE' => 'app'] as $name => $value) {
            putenv("$name=$value");
        }
    }

    public static function tearDownAfterClass(): void
    {
        self::$server->stop();
        array_map(putenv(...), ['DB_USERNAME', 'DB_PASSWORD', 'DB_DATABASE']);
    }

    protected function setUp(): void
    {
        $this->network = new Proxy(Postgres::HOST, self::$server->port);
        self::$server->connect()->exec('DROP TABLE IF EXISTS entry; CREATE TABLE entry (number bigint PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)');
    }

    protected function tearDown(): void
    {
        $this->network->stop();
        parent::tearDown();
    }

    /** The source of the cluster. */
    protected function source(string $options = ''): string
    {
        $leader = Nodes::leader('own', Proxy::HOST, ['port' => $this->network->port, 'timeline' => null]);

        return self::url($this->cluster($leader), "sslmode=disable&gssencmode=disable$options");
    }

    /** @param array<string, mixed> $more is put over what is documented */
    protected function application(array $more = []): Application
    {
        return new Application($more + ['hadsn' => $this->source()]);
    }

    /** @param array<string, mixed> $more as above */
    protected function connection(array $more = []): PostgresConnection
    {
        $connection = $this->application($more)->db()->connection();
        self::assertInstanceOf(PostgresConnection::class, $connection);

        return $connection;
    }

    /** Ends the backend of a connection, which has not noticed it when this returns. */
    protected static function terminate(\PDO $pdo): void
    {
        $pid = $pdo->query('SELECT pg_backend_pid()')->fetchColumn();
        self::assertTrue(self::$server->connect('postgres')->query("SELECT pg_terminate_backend($pid, 5000)")->fetchColumn());
    }

    /** @return list<int> the numbers in the table */
    protected static function entries(): array
    {
        return self::$server->connect()->query('SELECT number FROM entry ORDER BY number')->fetchAll(\PDO::FETCH_COLUMN);
    }
}
