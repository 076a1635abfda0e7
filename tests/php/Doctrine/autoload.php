<?php

/*
 * Finds the package, and Doctrine DBAL as Debian installs it.
 */

declare(strict_types=1);

require_once __DIR__ . '/../Connection/autoload.php';
require_once '/usr/share/php/Doctrine/DBAL/autoload.php';
