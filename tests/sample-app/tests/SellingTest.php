<?php

declare(strict_types=1);

namespace Shop\Tests;

use HaDsn\Connection;
use Shop\Shop;

final class SellingTest extends ShopTestCase
{
    private Shop $shop;

    protected function setUp(): void
    {
        parent::setUp();
        $this->shop = new Shop(new Connection('app', 'app'));
    }

    public function testACrashOfTheLeaderThatTakesASecond(): void
    {
        $this->cluster->before('INSERT INTO purchase')->crash(seconds: 1.0);

        $this->shop->sell('1', 'book');

        self::assertSame(['book'], self::sold());
        $this->assertWriterMoved();
    }

    public function testACommitThatNeverArrivedIsDoneAgain(): void
    {
        $this->cluster->before('COMMIT')->crash();

        $this->shop->sell('1', 'book');

        self::assertSame(['book'], self::sold());
        $this->assertRetried('INSERT INTO purchase', 1);
    }

    public function testThePoolerKeepsTheConnectionToTheOldLeader(): void
    {
        $this->cluster->before('INSERT INTO purchase')->demote();

        $this->shop->sell('1', 'book');

        self::assertSame(['book'], self::sold());
    }

    public function testAWorkerThatSleptThroughAFailoverNoticesNothing(): void
    {
        $this->shop->sell('1', 'book');
        $this->cluster->switchover();
        $this->cluster->switchover('pg3');

        $this->shop->sell('2', 'pen');

        self::assertSame(['book', 'pen'], self::sold());
        $this->assertWriterIs('pg3');
    }

    public function testCountingGoesOnWithAnotherReplica(): void
    {
        $this->cluster->before('SELECT count')->cut();

        self::assertSame(0, $this->shop->count());
        $this->assertRetried('SELECT count', 1);
        $this->assertWriterStayed();
    }
}
