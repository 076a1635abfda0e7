<?php

declare(strict_types=1);

namespace Shop\Tests;

use HaDsn\Connection;
use HaDsn\Testing\InteractsWithFailover;
use PHPUnit\Framework\TestCase;
use Shop\Shop;

final class PurchaseTest extends TestCase
{
    use InteractsWithFailover;

    private \PDO $database;

    protected function setUp(): void
    {
        [$host, $port] = [getenv('SHOP_TEST_HOST'), getenv('SHOP_TEST_PORT')];
        $this->database = new \PDO("pgsql:host=$host;port=$port;dbname=app", 'app', 'app');
        $this->database->exec('CREATE TABLE IF NOT EXISTS purchase (id text PRIMARY KEY, title text NOT NULL); TRUNCATE purchase');
    }

    public function testASwitchoverInTheMiddleOfAPurchase(): void
    {
        $cluster = $this->fakeClusterInFrontOf(getenv('SHOP_TEST_HOST'), (int) getenv('SHOP_TEST_PORT'), 'app');
        $cluster->before('INSERT INTO purchase')->switchover();
        $shop = new Shop(new Connection('app', 'app'));

        $shop->sell('1', 'book');

        $this->assertRetried('INSERT INTO purchase', 1);
        $this->assertDone(1, 'COMMIT');
        $this->assertWriterMoved('pg2');
        self::assertSame(['book'], $this->sold());
    }

    public function testACommitWhoseAnswerWasLostIsNotDoneTwice(): void
    {
        $cluster = $this->fakeClusterInFrontOf(getenv('SHOP_TEST_HOST'), (int) getenv('SHOP_TEST_PORT'), 'app');
        $cluster->after('COMMIT')->crash();
        $shop = new Shop(new Connection('app', 'app'));

        $shop->sell('2', 'pen');

        $this->assertNotRetried('INSERT INTO purchase');
        self::assertSame(['pen'], $this->sold());
    }

    /** @return list<string> */
    private function sold(): array
    {
        return $this->database->query('SELECT title FROM purchase')->fetchAll(\PDO::FETCH_COLUMN);
    }
}
