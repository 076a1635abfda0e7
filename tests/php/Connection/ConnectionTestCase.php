<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\Connection;
use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\FakeMember;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;
use PDO;

require_once __DIR__ . '/autoload.php';

/**
 * A test of HaDsn\Connection against the real cluster. Every test has an empty table `entry` of its own, in which a number
 * can stand only once.
 */
abstract class ConnectionTestCase extends LabTestCase
{
    protected const INSERT = 'INSERT INTO entry VALUES ';
    protected const END_OF_THIS_CONNECTION = 'SELECT pg_terminate_backend(pg_backend_pid())';

    protected function setUp(): void
    {
        parent::setUp();
        self::elsewhere()->exec('DROP TABLE IF EXISTS entry; CREATE TABLE entry (number bigint PRIMARY KEY)');
    }

    protected function tearDown(): void
    {
        \HaDsn::configure(Lab::URL);
        self::elsewhere()->exec('DROP TABLE IF EXISTS entry');
        parent::tearDown();
    }

    /** What is tested. */
    protected static function connection(?Journal $journal = null, string $cluster = 'default'): Connection
    {
        return new Connection('app', 'app', null, $cluster, $journal);
    }

    /** Something between PDO and the leader that can cut the connection at a statement. */
    protected static function inFrontOfTheLeader(): FakeCluster
    {
        $server = Lab::address(Lab::leader());
        $network = FakeCluster::inFrontOf($server, 5432, new FakeMember('leader'));
        \HaDsn::configure(Lab::URL . "?sslmode=disable&gssencmode=disable&map=$server={$network->address('leader')}");

        return $network;
    }

    /** Another application that is connected to the leader. */
    protected static function elsewhere(string $user = 'app'): PDO
    {
        return Lab::connect(\HaDsn::writer(), $user, $user);
    }

    /** Ends the backend of a connection, which has not noticed it when this returns. */
    protected static function terminate(PDO $pdo): void
    {
        self::terminateBackend(self::server($pdo), Lab::ask($pdo, 'SELECT pg_backend_pid()'));
    }

    protected static function terminateBackend(string $server, int $pid): void
    {
        $admin = Lab::connect("pgsql:dbname=app;host=$server", 'postgres', 'postgres');
        self::assertTrue(Lab::ask($admin, "SELECT pg_terminate_backend($pid, 5000)"), 'the backend is gone');
    }

    /**
     * The numbers that are in the table in the end.
     *
     * @return list<int>
     */
    protected static function entries(): array
    {
        return self::elsewhere()->query('SELECT number FROM entry ORDER BY number')->fetchAll(PDO::FETCH_COLUMN);
    }

    protected static function assertLost(\Throwable $thrown): void
    {
        self::assertInstanceOf(\PDOException::class, $thrown);
        self::assertMatchesRegularExpression('/terminating connection due to administrator command|server closed the connection unexpectedly/', $thrown->getMessage());
    }

    protected static function assertSqlState(string $expected, \Throwable $thrown): void
    {
        self::assertInstanceOf(\PDOException::class, $thrown);
        self::assertSame($expected, $thrown->errorInfo[0] ?? null, $thrown->getMessage());
    }
}
