<?php

declare(strict_types=1);

namespace Tests\Feature;

use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\InteractsWithFailover;
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
        $this->cluster = $this->fakeClusterInFrontOf($settings['host'], $settings['port'], $settings['database']);
        config(['database.connections.pgsql.hadsn' => 'default']);
        DB::purge('pgsql');
    }

    public function test_an_order_survives_a_switchover(): void
    {
        $this->cluster->before('insert into "orders"')->switchover();

        $this->postJson('/orders', ['title' => 'book'])->assertCreated();

        $this->assertDatabaseCount('orders', 1);
        $this->assertRetried('insert into "orders"', 1);
        $this->assertWriterMoved();
    }

    public function test_without_a_leader_there_is_a_page_that_says_so(): void
    {
        $this->cluster->noLeader();

        $this->postJson('/orders', ['title' => 'book'])->assertServiceUnavailable();
    }
}
