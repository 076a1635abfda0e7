<?php

/*
 * Finds the package, Laravel's components as Debian installs them, and what they need.
 */

declare(strict_types=1);

require_once __DIR__ . '/../Connection/autoload.php';

// Laravel 8 of Debian 12 is older than the PHP there, and says so in many places. Debian 13's two fit.
if (PHP_VERSION_ID < 80400) {
    error_reporting(E_ALL & ~E_DEPRECATED);
}

foreach (['Database', 'Config', 'Console', 'Events', 'Filesystem', 'Http', 'Log', 'Pipeline', 'Queue', 'Routing', 'Session'] as $component) {
    require_once "Illuminate/$component/autoload.php";
}
require_once 'Dotenv/autoload.php';
