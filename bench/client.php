<?php

/**
 * A program that writes to whoever leads, and tells on standard output when it could not: one JSON object for each
 * outage. bench/failover.php runs one for each way to find the leader. It ends when standard input does.
 */

declare(strict_types=1);

const USER = 'app';
const OPTIONS = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 3];
const NODES = ['127.0.0.11', '127.0.0.12', '127.0.0.13'];
const LIFETIME = 900.0;

$way = $argv[1] ?? '';
$tcp = 'dbname=app;tcp_user_timeout=5000;keepalives_idle=10;keepalives_interval=3;keepalives_count=3';
$direct = static fn(string $hosts, int $port = 5432): PDO => new PDO(
    "pgsql:host={$hosts};port={$port};target_session_attrs=read-write;{$tcp}",
    USER,
    USER,
    OPTIONS,
);

/** Seconds between two attempts after a failure: the oracle's are as close as the machine allows. */
$pause = $way === 'oracle' ? 0.002 : 0.010;
$turn = 0;

$connect = match ($way) {
    'oracle' => static function () use ($direct, &$turn): PDO {
        return $direct(NODES[$turn++ % count(NODES)]);
    },
    'connect' => static fn(): PDO => HaDsn::connect(USER, USER, OPTIONS),
    'zero-code' => static fn(): PDO => new PDO('hadsn:', USER, USER, OPTIONS),
    'writer' => static function (): PDO {
        try {
            return new PDO(HaDsn::writer(), USER, USER, OPTIONS);
        } catch (PDOException $error) {
            HaDsn::invalidate();
            throw $error;
        }
    },
    'run' => static fn(): HaDsn\Connection => new HaDsn\Connection(USER, USER, OPTIONS),
    'list' => static fn(): PDO => $direct(implode(',', NODES)),
    'haproxy' => static fn(): PDO => $direct('127.0.0.10', 5000),
    default => exit("usage: php bench/client.php oracle|connect|zero-code|writer|run|list|haproxy\n"),
};

spl_autoload_register(static function (string $class): void {
    require __DIR__ . '/../php/' . strtr(substr($class, strlen('HaDsn\\')), '\\', '/') . '.php';
});

const INSERT = 'INSERT INTO bench_failover DEFAULT VALUES';
$write = static function (PDO|HaDsn\Connection $connection): void {
    if ($connection instanceof HaDsn\Connection) {
        $connection->run(static fn(PDO $pdo): int|false => $pdo->exec(INSERT));
    } else {
        $connection->exec(INSERT);
    }
};

stream_set_blocking(STDIN, false);
$now = static fn(): float => hrtime(true) / 1e9;
$end = $now() + LIFETIME;
$connection = null;
$lastSuccess = null;
$isFailing = false;

while ($now() < $end && !feof(STDIN)) {
    fread(STDIN, 64);
    try {
        $before = $now();
        $connection ??= $connect();
        $write($connection);
        $after = $now();
        // A call that repaired itself has failed in between all the same.
        if ($lastSuccess !== null && $after - $lastSuccess > 0.5) {
            echo json_encode(['from' => $lastSuccess, 'to' => $after], JSON_THROW_ON_ERROR), "\n";
        }
        $lastSuccess = $after;
        usleep(5_000);
    } catch (PDOException|HaDsn\Exception) {
        // A Connection connects anew by itself.
        if (!$connection instanceof HaDsn\Connection) {
            $connection = null;
        }
        usleep((int) ($pause * 1e6));
    }
}
