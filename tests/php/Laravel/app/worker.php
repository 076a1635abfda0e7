<?php

/*
 * Laravel's queue worker, for the test application: `php artisan queue:work`. Ends with SIGTERM.
 */

declare(strict_types=1);

use HaDsn\Tests\Laravel\app\Application;
use HaDsn\Tests\Laravel\app\Documentation;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Queue\Worker;
use Illuminate\Queue\WorkerOptions;

require __DIR__ . '/load.php';
eval(Documentation::code('app/Jobs/WriteOrder.php'));

$app = new Application();
$options = new WorkerOptions();
$options->sleep = 0.05;
$options->maxTries = 0;
$options->timeout = 0;
$worker = new Worker($app->queue(), $app->make('events'), $app->make(ExceptionHandler::class), static fn(): bool => false);
fwrite(STDOUT, "works\n");
exit($worker->daemon('database', 'default', $options));
