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
    public function testSessionsInTheDatabaseAreThoseOfTheLeader(): void
    {
        $server = (new Postgres())->up();
        $cluster = FakeCluster::inFrontOf(Postgres::HOST, $server->port);
        $place = self::application($cluster);
        try {
            $place->run('php artisan migrate --force && php ask.php POST orders/1');
        } finally {
            $server->stop();
        }

        self::assertStringEndsWith('{"written":1}', $place->said());
        $members = array_map(static fn($statement): string => $statement->member, $cluster->statements('/"sessions" (where|\()/'));
        self::assertNotSame([], $members);
        self::assertSame(['pg1'], array_values(array_unique($members)));
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
        $place->set('.env', 'SESSION_DRIVER=database' . "\nHADSN_URL=\"{$cluster->sources('app', ['sslmode' => 'disable'])}\"");
        $place->run('php artisan session:table');
        // A visitor, without a server on a port of its own.
        $place->write('ask.php', <<<'PHP'
            <?php

            require __DIR__ . '/vendor/autoload.php';

            $app = require __DIR__ . '/bootstrap/app.php';
            echo $app->make(Illuminate\Contracts\Http\Kernel::class)->handle(Illuminate\Http\Request::create($argv[2], $argv[1]))->getContent();
            PHP);

        return $place;
    }
}
