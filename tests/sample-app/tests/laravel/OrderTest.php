<?php

declare(strict_types=1);

namespace Tests\Feature;

use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\InteractsWithFailover;
use Illuminate\Support\Facades\Artisan;
use Illuminate\Support\Facades\DB;
use Tests\TestCase;

class OrderTest extends TestCase
{
    use InteractsWithFailover;

    private FakeCluster $cluster;

    protected function setUp(): void
    {
        parent::setUp();
        $settings = config('database.connections.pgsql');
        $this->cluster = $this->fakeClusterInFrontOf($settings['host'], (int) $settings['port'], $settings['database']);
        DB::purge('pgsql');
        Artisan::call('migrate', ['--force' => true]);
        DB::table('orders')->delete();
        // A request begins with nothing written.
        DB::connection()->forgetRecordModificationState();
    }

    public function test_an_order_survives_a_switchover(): void
    {
        $this->cluster->before('insert into "orders"')->switchover();

        $this->postJson('/orders/1')->assertOk();

        $this->assertDatabaseCount('orders', 1);
        $this->assertRetried('insert into "orders"', 1);
        $this->assertWriterMoved();
    }

    public function test_an_order_is_not_placed_twice(): void
    {
        $this->cluster->after('COMMIT')->crash();

        $this->postJson('/orders/1')->assertStatus(500);

        $this->assertDone(1, 'insert into "orders"');
        $this->assertDatabaseCount('orders', 1);
    }

    public function test_without_a_leader_there_is_a_page_that_says_so(): void
    {
        $this->cluster->noLeader();

        $this->postJson('/orders/1')->assertStatus(503);
    }
}
