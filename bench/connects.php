<?php

/** What a connection costs by each way to find the leader, when nothing is wrong. */

declare(strict_types=1);

use function HaDsn\Bench\promise;
use function HaDsn\Bench\sideBySide;
use function HaDsn\Bench\table;

require __DIR__ . '/lib.php';

const ROUNDS = 400;

HaDsn::configure(HaDsn\Bench\SOURCES);
$topology = HaDsn::topology();
$leader = $topology->leader ?? throw new RuntimeException('the lab has no leader');
$others = array_filter($topology->members, static fn ($member) => $member->name !== $leader->name);
$hosts = implode(',', [...array_map(static fn ($member) => $member->host, $others), $leader->host]);

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

$medians = sideBySide([
    'new PDO() of the leader itself' => static fn (): float => $connect($direct),
    'new PDO(HaDsn::writer())' => static function (): float {
        $begin = hrtime(true);
        $pdo = new PDO(HaDsn::writer(), 'app', 'app');
        $took = hrtime(true) - $begin;
        unset($pdo);

        return (float) $took;
    },
    'new PDO() through HAProxy' => static fn (): float => $connect($haproxy),
    'new PDO() of a host list, the leader last' => static fn (): float => $connect($list),
], ROUNDS);

table('A connection (median of ' . ROUNDS . ' rounds)', $medians, 1e6, 'ms', 'new PDO() of the leader itself');
promise(
    'new PDO(HaDsn::writer()) : new PDO() of the leader itself',
    $medians['new PDO(HaDsn::writer())'] / $medians['new PDO() of the leader itself'],
    1.05,
);
