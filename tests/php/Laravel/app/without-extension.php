<?php

/*
 * Connections that ask for hadsn, rightly and not, where it is not loaded. Arguments: the port of the server, and whether there is a log. Tells what
 * came of it.
 */

declare(strict_types=1);

use HaDsn\Tests\Connection\Journal;
use HaDsn\Tests\Laravel\app\Application;

require __DIR__ . '/load.php';
require __DIR__ . '/../../Connection/Journal.php';

$journal = new Journal();
$classes = $ports = [];
foreach ([true, 'No name!'] as $hadsn) {
    $app = new Application(['port' => (int) $argv[1], 'hadsn' => $hadsn], $argv[2] === 'log' ? $journal : null);
    $db = $app->db()->connection();
    $classes[] = $db::class;
    $ports[] = $db->selectOne('SELECT inet_server_port() AS port')->port;
}
echo json_encode(['classes' => $classes, 'ports' => $ports, 'log' => $journal->lines()], JSON_THROW_ON_ERROR);
