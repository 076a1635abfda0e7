<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use CodeIgniter\Database\Exceptions\DatabaseException;
use HaDsn;
use HaDsn\CodeIgniter\Connection;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * The driver in CodeIgniter's real code, with a PostgreSQL server of the test's own as leader. It has a table `entry`, in which a
 * number can stand only once.
 */
abstract class DriverTestCase extends UnitTestCase
{
    protected const INSERT = 'INSERT INTO entry VALUES ';

    private static int $level = 0;

    /** @var list<Postgres> */
    private static array $servers = [];

    protected FakePatroni $patroni;
    protected Postgres $leader;

    public static function setUpBeforeClass(): void
    {
        Framework::boot();
        self::$level = error_reporting(E_ALL & ~E_DEPRECATED);
    }

    public static function tearDownAfterClass(): void
    {
        error_reporting(self::$level);
        foreach (self::$servers as $server) {
            $server->stop();
        }
        self::$servers = [];
    }

    protected function setUp(): void
    {
        $this->leader = self::server(0);
        $this->patroni = $this->cluster($this->leader->asLeader());
        self::configure($this->patroni, 'failover_timeout=5s');
    }

    /** One of the servers of the class, with an empty table. */
    protected static function server(int $number): Postgres
    {
        $server = self::$servers[$number] ??= (new Postgres())->up(['shared_buffers' => '8MB']);
        $server->connect()->exec('DROP TABLE IF EXISTS entry; CREATE TABLE entry (number bigint PRIMARY KEY)');

        return $server;
    }

    /** From now on another server leads. */
    protected function moveTo(Postgres $new): void
    {
        $this->patroni->answers(Answer::members($new->asLeader()));
        $this->leader = $new;
        HaDsn::invalidate();
    }

    /** @param array<string, mixed> $settings */
    protected static function connection(array $settings = []): Connection
    {
        $group = \HaDsn\CodeIgniter\Config\Registrar::Database()['hadsn'];

        return \Config\Database::connect([...$group, 'username' => 'app', 'password' => 'app', ...$settings], false);
    }

    /** Ends the backend of a connection, which has not noticed it when this returns. */
    protected static function terminate(Connection $db, ?Postgres $server = null): void
    {
        $pid = pg_get_pid($db->connID);
        $admin = ($server ?? self::$servers[0])->connect('postgres');
        $admin->exec("SELECT pg_terminate_backend($pid)");
        self::await(static fn(): bool => $admin->query("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid")->fetchColumn() === 0, 'the backend has ended');
    }

    /**
     * What stands in the table.
     *
     * @return list<int>
     */
    protected static function entries(Postgres $server): array
    {
        return $server->connect()->query('SELECT number FROM entry ORDER BY number')->fetchAll(\PDO::FETCH_COLUMN);
    }

    protected static function port(Connection $db): int
    {
        return (int) $db->query('SELECT inet_server_port() AS port')->getRow()->port;
    }

    /** What this version of CodeIgniter throws for a failed statement. */
    protected static function framework(): string
    {
        return is_subclass_of(DatabaseException::class, \Exception::class) ? DatabaseException::class : \ErrorException::class;
    }

    protected function throughProxy(string $mode): Proxy
    {
        $proxy = new Proxy(Postgres::HOST, $this->leader->port, $mode);
        $this->patroni->answers(Answer::members(Nodes::leader('own', Proxy::HOST, ['port' => $proxy->port, 'timeline' => null])));
        \HaDsn::configure(self::url($this->patroni, 'failover_timeout=5s&sslmode=disable&gssencmode=disable'));
        \HaDsn::invalidate();

        return $proxy;
    }

    /** A connection to a server that took part in a switchover behind a pooler's back: it refuses writes and calls itself a replica. */
    protected function onAFormerLeader(): Connection
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
