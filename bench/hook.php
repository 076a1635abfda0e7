<?php

/** What the hook costs a DSN of somebody else's: a refused one takes the shortest way through PDO, with and without it. */

declare(strict_types=1);

use function HaDsn\Bench\median;
use function HaDsn\Bench\promise;

require __DIR__ . '/lib.php';

const CALLS = 5_000;
const ROUNDS = 21;

if (($argv[1] ?? '') === 'measure') {
    $rounds = [];
    for ($round = 0; $round < ROUNDS; $round++) {
        $begin = hrtime(true);
        for ($i = 0; $i < CALLS; $i++) {
            try {
                new PDO('nosuchdriver:');
            } catch (PDOException) {
            }
        }
        $rounds[] = (hrtime(true) - $begin) / CALLS;
    }
    echo median($rounds);
    exit;
}

// One process after the other, in turn: the setting is the process's.
$library = $argv[1] ?? exit("usage: php bench/hook.php LIBRARY\n");
$measured = ['on' => [], 'off' => []];
for ($turn = 0; $turn < 7; $turn++) {
    foreach (array_keys($measured) as $setting) {
        $command = [PHP_BINARY, '-d', "extension={$library}", '-d', "hadsn.pdo_dsn={$setting}", __FILE__, 'measure'];
        $process = proc_open($command, [1 => ['pipe', 'w']], $pipes);
        $measured[$setting][] = (float) stream_get_contents($pipes[1]);
        proc_close($process);
    }
}
printf("A DSN of another driver, refused\n");
foreach ($measured as $setting => $times) {
    printf("  %-58s %9.0f ns\n", "hadsn.pdo_dsn={$setting}", median($times));
}
promise('what the hook costs, in ns', median($measured['on']) - median($measured['off']), 50);
