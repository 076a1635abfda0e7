<?php

declare(strict_types=1);

use HaDsn\Connection;
use HaDsn\Testing\InteractsWithFailover;
use Shop\Shop;

uses(InteractsWithFailover::class);

beforeEach(function () {
    $this->cluster = $this->fakeClusterInFrontOf(getenv('SHOP_TEST_HOST'), (int) getenv('SHOP_TEST_PORT'), 'app');
    $this->shop = new Shop(new Connection('app', 'app'));
});

it('sells once, whatever becomes of the leader', function (string $when, string $what) {
    $this->cluster->$when('COMMIT')->$what();

    $this->shop->sell(uniqid(), 'book');

    $this->assertDone(1, 'COMMIT');
    $this->assertWriterMoved();
})->with([
    ['before', 'switchover'],
    ['after', 'switchover'],
    ['before', 'crash'],
    ['after', 'crash'],
]);
