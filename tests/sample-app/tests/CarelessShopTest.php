<?php

declare(strict_types=1);

namespace Shop\Tests;

use Shop\CarelessShop;

/**
 * What the helpers are for: a mistake that no other test shows.
 */
final class CarelessShopTest extends ShopTestCase
{
    public function testAPurchaseIsMadeTwice(): void
    {
        $this->cluster->after('INSERT INTO purchase')->switchover();

        (new CarelessShop())->sell('book');

        self::assertSame(['book', 'book'], self::sold());
        $this->assertDone(2, 'INSERT INTO purchase');
    }
}
