<?php

declare(strict_types=1);

namespace Shop\Tests;

use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\InteractsWithFailover;
use PHPUnit\Framework\TestCase;

/**
 * A test with an empty shop, whose database is a cluster.
 */
abstract class ShopTestCase extends TestCase
{
    use InteractsWithFailover;

    protected FakeCluster $cluster;

    protected function setUp(): void
    {
        $pdo = self::database();
        $pdo->exec((string) file_get_contents(__DIR__ . '/../schema.sql'));
        $pdo->exec('TRUNCATE purchase');
        $this->cluster = $this->fakeClusterInFrontOf((string) getenv('SHOP_TEST_HOST'), (int) getenv('SHOP_TEST_PORT'), 'app');
    }

    /**
     * What was sold. Asks the server itself, whatever the cluster is at.
     *
     * @return list<string>
     */
    protected static function sold(): array
    {
        return self::database()->query('SELECT title FROM purchase ORDER BY title')->fetchAll(\PDO::FETCH_COLUMN);
    }

    private static function database(): \PDO
    {
        return new \PDO('pgsql:host=' . getenv('SHOP_TEST_HOST') . ';port=' . getenv('SHOP_TEST_PORT') . ';dbname=app', 'app', 'app');
    }
}
