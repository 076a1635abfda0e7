<?php

declare(strict_types=1);

namespace Shop\Tests;

use HaDsn\Connection;
use HaDsn\Testing\InteractsWithFailover;
use PHPUnit\Framework\TestCase;
use Shop\Closed;
use Shop\Shop;

/**
 * Without any database.
 */
final class ClosedTest extends TestCase
{
    use InteractsWithFailover;

    public function testWithoutALeaderTheShopIsClosed(): void
    {
        $cluster = $this->fakeCluster(options: ['failover_timeout' => '200ms']);
        $cluster->noLeader();
        $shop = new Shop(new Connection('app', 'app'));

        $error = $this->assertNoLeader(static fn() => $shop->sell('1', 'book'));

        self::assertInstanceOf(Closed::class, $error);
    }
}
