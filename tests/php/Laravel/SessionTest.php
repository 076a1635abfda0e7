<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Testing\FakeCluster;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Tests\Support\Workplace;

require_once __DIR__ . '/../Connection/autoload.php';

/**
 * The application of docs/laravel.md with its sessions in the database, as a new one of Laravel 11 has them.
 */
final class SessionTest extends UnitTestCase
{
    private Postgres $server;
    private FakeCluster $cluster;

    protected function setUp(): void
    {
        $this->server = (new Postgres())->up();
        $this->cluster = FakeCluster::inFrontOf(Postgres::HOST, $this->server->port);
    }

    protected function tearDown(): void
    {
        $this->cluster->stop();
        $this->server->stop();
        parent::tearDown();
    }

    public function testSessionsInTheDatabaseAreThoseOfTheLeader(): void
    {
        $place = self::application($this->cluster);

        $place->run('php ask.php POST orders/1');

        self::assertStringEndsWith('200 {"written":1}', $place->said());
        $members = array_map(static fn($statement): string => $statement->member, $this->cluster->statements('/"sessions" (where|\()/'));
        self::assertNotSame([], $members);
        self::assertSame(['pg1'], array_values(array_unique($members)));
    }

    public function testNobodyIsToldToTryAgainWhatIsWrittenSinceOnlyTheSessionIsNot(): void
    {
        $place = self::application($this->cluster);
        // Long enough for the connection of the session to be looked at before it is used again.
        $place->insert('routes/web.php', "Route::post('/orders", "    usleep(1_200_000);\n");
        $this->cluster->before('SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn')->noLeader();

        $place->run('php ask.php POST orders/1');

        self::assertSame([], $this->cluster->armed());
        self::assertStringContainsString("\n500 ", $place->said());
        self::assertSame([1], $this->server->connect()->query('SELECT number FROM orders')->fetchAll(\PDO::FETCH_COLUMN));
    }

    private static function application(FakeCluster $cluster): Workplace
    {
        $place = new Workplace(packages: ['laravel/framework' => '/usr/share/php/Illuminate'], skeleton: __DIR__ . '/skeleton', composer: [
            'autoload' => ['psr-4' => ['App\\' => 'app/']],
            'scripts' => ['post-autoload-dump' => '@php artisan package:discover'],
        ]);
        $place->run('mkdir -p bootstrap/cache storage/logs storage/framework/cache/data storage/framework/sessions storage/framework/views');
        $place->run('composer require laravel/framework');
        // Without the commands that ask the cluster.
        (new Page('laravel.md'))->follow('In five minutes', $place, '/^Since Laravel 11|^Reads go to|^$|Start a server:|in another terminal/');
        $place->set('.env', 'SESSION_DRIVER=database' . "\nHADSN_URL=\"{$cluster->sources('app', ['sslmode' => 'disable', 'failover_timeout' => '1s'])}\"");
        // A visitor, without a server on a port of its own.
        $place->write('ask.php', <<<'PHP'
            <?php

            require __DIR__ . '/vendor/autoload.php';

            $app = require __DIR__ . '/bootstrap/app.php';
            $response = $app->make(Illuminate\Contracts\Http\Kernel::class)->handle(Illuminate\Http\Request::create($argv[2], $argv[1]));
            echo "\n{$response->getStatusCode()} {$response->getContent()}";
            PHP);
        $place->run('php artisan session:table && php artisan migrate --force');

        return $place;
    }
}
