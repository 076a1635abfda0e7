<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Tests\Support\Workplace;

/**
 * The test that docs/testing.md shows for Laravel passes in the application of docs/laravel.md.
 */
final class TestingPageTest extends UnitTestCase
{
    public function testItPasses(): void
    {
        $server = (new Postgres())->up();
        try {
            $place = self::application($server);
            (new Page('testing.md'))->follow('With Laravel', $place);
            // PHPUnit's own warnings are about Laravel 8, which is older than this PHP.
            $outcome = $place->shell('php -d error_reporting=' . (E_ALL & ~E_DEPRECATED) . ' /usr/bin/phpunit --bootstrap vendor/autoload.php tests/Feature');
        } finally {
            $server->stop();
        }

        self::assertSame(0, $outcome->exitCode, $outcome->stdout . $outcome->stderr);
        // PHPUnit 11 is newer than Laravel 10, and misses that it puts error handlers back.
        self::assertMatchesRegularExpression('/^OK \(3 tests|^Tests: 3,/m', $outcome->stdout);
    }

    private static function application(Postgres $server): Workplace
    {
        $place = new Workplace(packages: ['laravel/framework' => '/usr/share/php/Illuminate'], skeleton: __DIR__ . '/skeleton', composer: [
            'autoload' => ['psr-4' => ['App\\' => 'app/', 'Tests\\' => 'tests/']],
            'scripts' => ['post-autoload-dump' => '@php artisan package:discover'],
        ]);
        $place->run('mkdir -p bootstrap/cache storage/logs storage/framework/cache/data storage/framework/sessions storage/framework/views');
        $place->run('composer require laravel/framework');
        // Without the commands that ask the cluster.
        (new Page('laravel.md'))->follow('In five minutes', $place, '/^Since Laravel 11|^Reads go to|^$|Start a server:|in another terminal/');
        // The application's own cluster stays where laravel.md puts it, in .env: a test that asked that one would fail, and not empty its tables.
        $place->set('.env', 'DB_HOST=' . Postgres::HOST . "\nDB_PORT=$server->port\nHADSN_URL=patroni://127.0.0.1:1/app");
        $place->write('tests/TestCase.php', <<<'PHP'
            <?php

            namespace Tests;

            use Illuminate\Contracts\Console\Kernel;
            use Illuminate\Foundation\Testing\TestCase as BaseTestCase;

            abstract class TestCase extends BaseTestCase
            {
                public function createApplication()
                {
                    $app = require __DIR__ . '/../bootstrap/app.php';
                    $app->make(Kernel::class)->bootstrap();

                    return $app;
                }
            }
            PHP);

        return $place;
    }
}
