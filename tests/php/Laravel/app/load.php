<?php

/*
 * Finds the classes of the test application, in a process of its own.
 */

declare(strict_types=1);

require __DIR__ . '/../autoload.php';
require __DIR__ . '/Application.php';
