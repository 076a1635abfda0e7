<?php

/**
 * What it costs to find the leader when nothing is known yet, beside the bare exchanges that it takes: made by hand, on plain
 * sockets, in the same process.
 */

declare(strict_types=1);

use function HaDsn\Bench\lab;
use function HaDsn\Bench\promise;
use function HaDsn\Bench\sideBySide;
use function HaDsn\Bench\table;

use const HaDsn\Bench\NODES;

require __DIR__ . '/lib.php';

const ROUNDS = 300;
const HEDGE = 100.0e6;
const NAME_SERVER = '127.0.0.10:5353';
const SERVICE = '_patroni._tcp.lab.hadsn.test';

HaDsn::configure(HaDsn\Bench\SOURCES);
$leader = HaDsn::topology()->leader ?? throw new RuntimeException('the lab has no leader');
$others = array_values(array_diff(NODES, [$leader->host]));
$endpoints = implode(',', [$leader->host, ...$others]);

/** A writer() of a cluster that nothing is known of: a source string that was never seen before. */
$cold = static function (string $sources): Closure {
    return static function () use ($sources): float {
        static $number = 0;
        HaDsn::configure(sprintf('%smax_stale=%ds', $sources, 100 + $number++));

        return timed(static fn() => HaDsn::writer());
    };
};
$bare = static fn(): float => timed(static fn() => get($leader->host, '/cluster') . get($leader->host, '/patroni'));
// The records are of equal priority and weight: whoever goes by them begins with any node.
$bareWithSrv = static fn(): float => timed(
    static fn() => srv() . get(NODES[array_rand(NODES)], '/cluster') . get($leader->host, '/patroni'),
);

$rows = sideBySide([
    'GET /cluster + GET /patroni by hand' => $bare,
    'a cold writer()' => $cold("patroni://{$endpoints}/app?"),
    'SRV + GET /cluster + GET /patroni by hand' => $bareWithSrv,
    'a cold writer() by SRV and Patroni' => $cold('patroni+srv://lab.hadsn.test/app?nameserver=' . NAME_SERVER . '&'),
    'a cold writer() by SQL' => $cold("postgresql://app:app@{$endpoints}/app?"),
    'a connection to one server and a query, by PDO' => static fn(): float => timed(static function () use ($leader): void {
        (new PDO("pgsql:host={$leader->host};dbname=app", 'app', 'app'))->query('SELECT pg_is_in_recovery()')->fetchAll();
    }),
    'dns_get_record(), the same name server' => static fn(): float => timed(static fn() => dns_get_record(SERVICE, DNS_SRV)),
], ROUNDS);
table('Finding the leader when nothing is known (median of ' . ROUNDS . ' rounds)', $rows, 1e6, 'ms', 'GET /cluster + GET /patroni by hand');
promise('a cold writer() : by hand', $rows['a cold writer()'] / $rows['GET /cluster + GET /patroni by hand'], 1.5);
promise(
    'a cold writer() by SRV and Patroni : by hand',
    $rows['a cold writer() by SRV and Patroni'] / $rows['SRV + GET /cluster + GET /patroni by hand'],
    1.5,
);

// Two of three endpoints are black holes, and they are named first.
try {
    array_map(static fn(string $host) => lab('partition', node($host)), $others);
    $holes = implode(',', [...$others, $leader->host]);
    $rows = sideBySide([
        'GET /cluster + GET /patroni by hand' => $bare,
        'a cold writer(), two of three black holes' => $cold("patroni://{$holes}/app?"),
    ], 30);
    table('Two of three endpoints are black holes (median of 30 rounds)', $rows, 1e6, 'ms', 'GET /cluster + GET /patroni by hand');
    $limit = 1.5 * $rows['GET /cluster + GET /patroni by hand'] + 1.5 * HEDGE;
    promise('… : 1.5 x by hand + 1.5 x hedge', $rows['a cold writer(), two of three black holes'] / $limit, 1.0);
} finally {
    array_map(static fn(string $host) => lab('heal', node($host)), $others);
}

/** @param callable(): mixed $work */
function timed(callable $work): float
{
    $begin = hrtime(true);
    $work();

    return (float) (hrtime(true) - $begin);
}

function get(string $host, string $path): string
{
    $socket = stream_socket_client("tcp://{$host}:8008", timeout: 2.0);
    if ($socket === false) {
        throw new RuntimeException("{$host} does not answer");
    }
    fwrite($socket, "GET {$path} HTTP/1.1\r\nHost: {$host}\r\nConnection: close\r\n\r\n");
    $answer = stream_get_contents($socket);
    if (!str_contains((string) $answer, ' 200 ')) {
        throw new RuntimeException("{$host}{$path}: {$answer}");
    }
    json_decode(explode("\r\n\r\n", $answer, 2)[1], flags: JSON_THROW_ON_ERROR);

    return $answer;
}

/** One question for SRV records over UDP (RFC 1035, 4.1), and its answer. */
function srv(): string
{
    $name = implode('', array_map(static fn(string $label): string => chr(strlen($label)) . $label, explode('.', SERVICE)));
    $socket = stream_socket_client('udp://' . NAME_SERVER, timeout: 2.0);
    fwrite($socket, pack('n6', random_int(0, 65535), 0x0100, 1, 0, 0, 0) . "{$name}\0" . pack('n2', 33, 1));
    $answer = fread($socket, 4096);
    if ($answer === false || strlen($answer) < 12) {
        throw new RuntimeException('the name server does not answer');
    }

    return $answer;
}

function node(string $host): string
{
    return 'pg' . (array_search($host, NODES, true) + 1);
}
