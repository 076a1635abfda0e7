<?php

declare(strict_types=1);

namespace HaDsn\Tests\Testing;

use HaDsn\Testing\FakeCluster;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\UnitTestCase;

require_once __DIR__ . '/../Connection/autoload.php';

/**
 * A test of the helpers for applications' tests. In front of a server means in front of one of our own, which all tests of a class
 * share; each has an empty table `entry` in which a number can stand only once.
 */
abstract class TestingTestCase extends UnitTestCase
{
    protected const INSERT = 'INSERT INTO entry VALUES ';

    private static ?Postgres $server = null;

    /** @var list<FakeCluster> */
    private array $clusters = [];

    public static function tearDownAfterClass(): void
    {
        self::$server?->stop();
        self::$server = null;
    }

    protected function tearDown(): void
    {
        foreach ($this->clusters as $cluster) {
            $cluster->stop();
        }
        $this->clusters = [];
        parent::tearDown();
    }

    protected static function server(): Postgres
    {
        self::$server ??= (new Postgres())->up();
        self::$server->connect()->exec('DROP TABLE IF EXISTS entry; CREATE TABLE entry (number int PRIMARY KEY)');

        return self::$server;
    }

    /** Ends with the test. */
    protected function ending(FakeCluster $cluster): FakeCluster
    {
        return $this->clusters[] = $cluster;
    }

    /** @param array<string, string> $options */
    protected function inFrontOfOurs(array $options = []): FakeCluster
    {
        $cluster = $this->ending(FakeCluster::inFrontOf(Postgres::HOST, self::server()->port));
        \HaDsn::configure($cluster->sources('app', $options + ['failover_timeout' => '5s'], 'app', 'app'));

        return $cluster;
    }

    /**
     * What stands in the table, whatever the cluster is at.
     *
     * @return list<int>
     */
    protected static function entries(): array
    {
        return self::$server->connect()->query('SELECT number FROM entry ORDER BY number')->fetchAll(\PDO::FETCH_COLUMN);
    }

    protected static function connect(): \PDO
    {
        return new \PDO(\HaDsn::writer(), 'app', 'app');
    }

    protected static function pdoError(callable $call): \PDOException
    {
        $error = self::thrown($call);
        self::assertInstanceOf(\PDOException::class, $error);

        return $error;
    }
}
