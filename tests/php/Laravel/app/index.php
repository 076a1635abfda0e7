<?php

/*
 * The front controller of the test application.
 */

declare(strict_types=1);

use HaDsn\Tests\Laravel\app\Application;
use Illuminate\Http\Request;

require __DIR__ . '/load.php';

(new Application())->serve(Request::capture());
