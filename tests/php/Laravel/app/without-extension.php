<?php

/*
 * Two connections that ask for hadsn, where it is not loaded. Argument: the port of the server. Tells what came of it.
 */

declare(strict_types=1);

use HaDsn\Tests\Connection\Journal;
use HaDsn\Tests\Laravel\app\Application;

require __DIR__ . '/load.php';
require __DIR__ . '/../../Connection/Journal.php';

$journal = new Journal();
$classes = $ports = [];
foreach ([1, 2] as $time) {
    $db = (new Application(['port' => (int) $argv[1]], $journal))->db()->connection();
    $classes[] = $db::class;
    $ports[] = $db->selectOne('SELECT inet_server_port() AS port')->port;
}
echo json_encode(['classes' => $classes, 'ports' => $ports, 'log' => $journal->lines()], JSON_THROW_ON_ERROR);
