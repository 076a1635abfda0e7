<?php

/*
 * Finds the classes of the test application, in a process of its own.
 */

declare(strict_types=1);

if (!defined('STDERR')) {
    define('STDERR', fopen('php://stderr', 'w'));
}
require __DIR__ . '/../autoload.php';
foreach (['Documentation', 'Handler', 'Application'] as $class) {
    require __DIR__ . "/$class.php";
}
