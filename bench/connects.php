<?php

/** What a connection costs by each way to find the leader, when nothing is wrong. */

declare(strict_types=1);

use function HaDsn\Bench\lab;
use function HaDsn\Bench\promise;
use function HaDsn\Bench\sideBySide;
use function HaDsn\Bench\table;

require __DIR__ . '/lib.php';

const ROUNDS = 400;

HaDsn::configure(HaDsn\Bench\SOURCES);
$topology = HaDsn::topology();
$leader = $topology->leader ?? throw new RuntimeException('the lab has no leader');
$others = array_filter($topology->members, static fn($member) => $member->name !== $leader->name);
$hosts = implode(',', [...array_map(static fn($member) => $member->host, $others), $leader->host]);

$direct = "pgsql:host={$leader->host};port={$leader->port};dbname=app";
$list = "pgsql:host={$hosts};port=5432;dbname=app;target_session_attrs=read-write";
$haproxy = 'pgsql:host=127.0.0.10;port=5000;dbname=app';

$connect = static function (string $dsn): float {
    $begin = hrtime(true);
    $pdo = new PDO($dsn, 'app', 'app');
    $took = hrtime(true) - $begin;
    unset($pdo);

    return (float) $took;
};

$byHadsn = static function (): float {
    $begin = hrtime(true);
    $pdo = HaDsn::connect('app', 'app');
    $took = hrtime(true) - $begin;
    unset($pdo);

    return (float) $took;
};
$resolved = static fn(): float => $connect(HaDsn::writer());

$medians = sideBySide([
    'new PDO() of the leader itself' => static fn(): float => $connect($direct),
    'new PDO(HaDsn::writer())' => static function (): float {
        $begin = hrtime(true);
        $pdo = new PDO(HaDsn::writer(), 'app', 'app');
        $took = hrtime(true) - $begin;
        unset($pdo);

        return (float) $took;
    },
    'HaDsn::connect()' => $byHadsn,
    "new PDO('hadsn:')" => static fn(): float => $connect('hadsn:'),
    'new PDO() through HAProxy' => static fn(): float => $connect($haproxy),
    'new PDO() of a host list, the leader last' => static fn(): float => $connect($list),
], ROUNDS);

table('A connection (median of ' . ROUNDS . ' rounds)', $medians, 1e6, 'ms', 'new PDO() of the leader itself');
$plain = $medians['new PDO() of the leader itself'];
promise('new PDO(HaDsn::writer()) : new PDO() of the leader itself', $medians['new PDO(HaDsn::writer())'] / $plain, 1.05);

// connect() and hadsn: make the very connection that a resolved DSN makes.
$warm = sideBySide([
    'new PDO() of the resolved DSN' => $resolved,
    'HaDsn::connect()' => $byHadsn,
    "new PDO('hadsn:')" => static fn(): float => $connect('hadsn:'),
], ROUNDS);
promises('a warm connect', $warm);

// The endpoint that is named first is a black hole.
$hole = reset($others)->host;
lab('partition', reset($others)->name);
try {
    HaDsn::configure("patroni://{$hole}," . implode(',', array_diff(HaDsn\Bench\NODES, [$hole])) . '/app');
    HaDsn::writer();
    promises('the first endpoint a black hole', sideBySide([
        'new PDO() of the resolved DSN' => $resolved,
        'HaDsn::connect()' => $byHadsn,
        "new PDO('hadsn:')" => static fn(): float => $connect('hadsn:'),
    ], ROUNDS));
} finally {
    lab('heal', reset($others)->name);
}

/** @param array<string, float> $medians */
function promises(string $when, array $medians): void
{
    foreach (['HaDsn::connect()', "new PDO('hadsn:')"] as $what) {
        promise("{$what} : the resolved DSN, {$when}", $medians[$what] / $medians['new PDO() of the resolved DSN'], 1.03);
    }
}
