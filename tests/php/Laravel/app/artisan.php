<?php

/*
 * `php artisan`, for the test application.
 */

declare(strict_types=1);

use HaDsn\Tests\Laravel\app\Application;
use Illuminate\Console\Application as Artisan;

require __DIR__ . '/load.php';

$app = new Application();
$artisan = new Artisan($app, $app->make('events'), '0');
exit($artisan->run());
