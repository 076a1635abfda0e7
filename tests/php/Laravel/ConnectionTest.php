<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Laravel\FailoverException;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Verdict;
use Illuminate\Database\PostgresConnection as LaravelConnection;
use Illuminate\Database\QueryException;

/**
 * How connections of Laravel are made, and replaced.
 */
final class ConnectionTest extends LaravelTestCase
{
    public function testItConnectsWithoutAHost(): void
    {
        $db = $this->connection(['host' => null]);

        $session = $db->selectOne("SELECT inet_server_port() AS port, current_user AS name, current_setting('client_encoding') AS encoding, current_database() AS base");

        self::assertSame([self::$server->port, 'app', 'UTF8', 'app'], array_values((array) $session));
        self::assertSame('public', trim($db->selectOne("SELECT current_setting('search_path') AS path")->path, '"'));
    }

    public function testAnUnusedConnectionIsReplacedBeforeTheNextStatement(): void
    {
        $db = $this->connection();
        self::terminate($db->getPdo());
        // For a second it is believed what the server has said of itself.
        usleep(1_100_000);

        self::assertTrue($db->table('entry')->insert(['number' => 1]));
        self::assertSame([1], self::entries());
    }

    public function testOneThatIsKnownToBeLostIsReplacedAtOnce(): void
    {
        $db = $this->connection();
        $pdo = $db->getPdo();
        self::terminate($pdo);
        self::thrown(static fn() => $pdo->query('SELECT 1'));

        self::assertTrue($db->table('entry')->insert(['number' => 1]));
        self::assertNotSame($pdo, $db->getPdo());
    }

    /** @dataProvider beginnings */
    public function testATransactionThatSomebodyLeftOpenEndsWhereNewWorkBegins(string $event): void
    {
        $app = $this->application();
        $db = $app->db()->connection();
        $db->beginTransaction();
        $app->make('events')->dispatch($event, [null]);
        self::assertSame(1, $db->transactionLevel());
        self::terminate($db->getPdo());

        $app->make('events')->dispatch($event, [null]);

        self::assertSame(0, $db->transactionLevel());
        self::assertTrue($db->table('entry')->insert(['number' => 1]));
    }

    /** @return iterable<string, array{string}> */
    public static function beginnings(): iterable
    {
        yield 'the queue' => ['Illuminate\Queue\Events\Looping'];
        yield 'a request of Octane' => ['Laravel\Octane\Events\RequestReceived'];
        yield 'a task of Octane' => ['Laravel\Octane\Events\TaskReceived'];
        yield 'a tick of Octane' => ['Laravel\Octane\Events\TickReceived'];
    }

    public function testADisconnectedConnectionIsClosed(): void
    {
        $db = $this->connection();
        $pid = $db->selectOne('SELECT pg_backend_pid() AS pid')->pid;
        $db->getPdo();
        $admin = self::$server->connect('postgres');

        $db->disconnect();

        self::await(static fn(): bool => $admin->query("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid")->fetchColumn() === 0, 'the backend is gone');
        self::assertSame(1, $db->selectOne('SELECT 1 AS one')->one);
    }

    public function testAWrongPasswordIsThrownAtOnceAndToldToNobody(): void
    {
        $db = $this->connection(['password' => 'hunter2']);

        $thrown = null;
        $seconds = self::seconds(static function () use ($db, &$thrown): void {
            $thrown = self::thrown(static fn() => $db->select('SELECT 1'));
        });

        self::assertLessThan(self::SOON, $seconds);
        self::assertInstanceOf(QueryException::class, $thrown);
        self::assertStringContainsString('password authentication failed', $thrown->getMessage());
        self::assertStringNotContainsString('hunter2', $thrown->getMessage());
    }

    public function testWithoutALeaderItIsSaidSo(): void
    {
        $db = $this->connection(['hadsn' => self::url(self::deadAddress(), 'timeout=500ms&failover_timeout=500ms')]);

        $thrown = self::assertThrows(FailoverException::class, static fn() => $db->table('entry')->insert(['number' => 1]));
        self::assertSame(Verdict::Retry, $thrown->verdict);
        self::assertInstanceOf(\HaDsn\Exception::class, $thrown->getPrevious());
        self::assertInstanceOf(\HaDsn\Exception::class, self::thrown(static fn() => $db->transaction(static fn() => 1)));
        self::assertSame(0, $db->transactionLevel());
    }

    public function testAConnectionWithoutTheKeyIsLaravelsOwn(): void
    {
        $db = $this->application(['hadsn' => null, 'host' => Postgres::HOST, 'port' => self::$server->port])->db()->connection();

        self::assertSame(LaravelConnection::class, $db::class);
        self::assertSame(self::$server->port, $db->selectOne('SELECT inet_server_port() AS port')->port);
    }

    public function testHostsAreNotUsed(): void
    {
        $db = $this->connection(['host' => ['192.0.2.1', '192.0.2.2'], 'port' => 1, 'read' => ['host' => '192.0.2.3'], 'write' => ['host' => ['192.0.2.4']]]);

        self::assertLessThan(self::SOON, self::seconds(static fn() => self::assertSame(1, $db->selectOne('SELECT 1 AS one')->one)));
    }

    public function testTheReadAndWriteSideOfAConnection(): void
    {
        $db = $this->application()->db();

        self::assertSame(1, $db->connection('pgsql::read')->selectOne('SELECT 1 AS one')->one);
        self::assertTrue($db->connection('pgsql::write')->table('entry')->insert(['number' => 1]));
        self::terminate($db->connection('pgsql::write')->getPdo());
        self::terminate($db->connection('pgsql::read')->getPdo());
        self::assertSame(1, $db->connection('pgsql::write')->table('entry')->count());
        self::assertSame(1, $db->connection('pgsql::read')->table('entry')->count());
    }
}
