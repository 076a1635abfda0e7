<?php

declare(strict_types=1);

namespace App\Tests;

use Doctrine\DBAL\Configuration;
use Doctrine\DBAL\Connection;
use Doctrine\DBAL\DriverManager;
use HaDsn\Doctrine\Middleware;
use HaDsn\Doctrine\Transactions;
use HaDsn\Testing\InteractsWithFailover;
use PHPUnit\Framework\TestCase;

final class AccountTest extends TestCase
{
    use InteractsWithFailover;

    public function testATransferSurvivesACrash(): void
    {
        $cluster = $this->fakeClusterInFrontOf(getenv('TEST_DB_HOST'), (int) getenv('TEST_DB_PORT'), 'app');
        $db = self::connection();
        $db->executeStatement('DROP TABLE IF EXISTS account');
        $db->executeStatement('CREATE TABLE account AS SELECT 1 AS id, 100 AS balance UNION SELECT 2, 100');
        $cluster->before('UPDATE account', nth: 2)->crash();

        Transactions::run($db, static function (Connection $db): void {
            $db->executeStatement('UPDATE account SET balance = balance - 10 WHERE id = ?', [1]);
            $db->executeStatement('UPDATE account SET balance = balance + 10 WHERE id = ?', [2]);
        });

        self::assertSame([90, 110], $db->fetchFirstColumn('SELECT balance FROM account ORDER BY id'));
        $this->assertDone(1, 'COMMIT');
        $this->assertWriterMoved();
    }

    /** In Symfony: `self::getContainer()->get(Connection::class)`. */
    private static function connection(): Connection
    {
        $configuration = new Configuration();
        $configuration->setMiddlewares([new Middleware()]);

        return DriverManager::getConnection(['driver' => 'pdo_pgsql', 'user' => 'app', 'password' => 'app', 'dbname' => 'app'], $configuration);
    }
}
