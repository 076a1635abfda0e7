<?php

/**
 * How long a program is without a writer, by each way to find the leader: all side by side through the same
 * switchovers and the same crash. php bench/failover.php LIBRARY [SWITCHOVERS [CRASHES]]
 */

declare(strict_types=1);

use function HaDsn\Bench\lab;
use function HaDsn\Bench\median;
use function HaDsn\Bench\promise;

require __DIR__ . '/lib.php';

const WAYS = [
    'oracle' => 'all nodes in turn, every 2 ms (oracle)',
    'connect' => 'HaDsn::connect()',
    'zero-code' => "new PDO('hadsn:')",
    'run' => 'HaDsn\Connection::run()',
    'writer' => 'new PDO(HaDsn::writer()) and invalidate()',
    'list' => "libpq's host list",
    'haproxy' => 'HAProxy',
];
const PATIENCE = 120.0;

$library = $argv[1] ?? exit("usage: php bench/failover.php LIBRARY [SWITCHOVERS [CRASHES]]\n");
$switchovers = (int) ($argv[2] ?? 10);
$crashes = (int) ($argv[3] ?? 1);

/** One client of bench/client.php. */
final class Client
{
    /** @var resource */
    private $process;
    /** @var array<int, resource> */
    private array $pipes = [];
    private string $unread = '';

    public function __construct(string $library, string $way)
    {
        $command = ['php', '-d', "extension={$library}", '-d', 'memory_limit=64M', __DIR__ . '/client.php', $way];
        $process = proc_open(
            $command,
            [['pipe', 'r'], ['pipe', 'w'], STDERR],
            $this->pipes,
            null,
            ['HADSN_URL' => HaDsn\Bench\SOURCES] + getenv(),
        );
        $this->process = is_resource($process) ? $process : throw new RuntimeException("{$way}: could not be started");
        stream_set_blocking($this->pipes[1], false);
    }

    /** The next outage in seconds, if it is over. */
    public function outage(): ?float
    {
        $this->unread .= (string) fread($this->pipes[1], 65536);
        if (!str_contains($this->unread, "\n")) {
            return null;
        }
        [$line, $this->unread] = explode("\n", $this->unread, 2);
        $outage = json_decode($line, true, 4, JSON_THROW_ON_ERROR);

        return $outage['to'] - $outage['from'];
    }

    public function end(): void
    {
        fclose($this->pipes[0]);
        fclose($this->pipes[1]);
        proc_terminate($this->process);
        proc_close($this->process);
    }
}

/**
 * Disturbs the lab and waits until every client has been without a writer and writes again.
 *
 * @param array<string, Client> $clients
 * @return array<string, float> the outages
 */
function disturb(array $clients, string ...$verb): array
{
    lab(...$verb);
    $outages = [];
    $deadline = hrtime(true) / 1e9 + PATIENCE;
    while (count($outages) < count($clients)) {
        foreach ($clients as $way => $client) {
            $outages[$way] ??= $client->outage();
        }
        $outages = array_filter($outages, is_float(...));
        if (hrtime(true) / 1e9 > $deadline) {
            throw new RuntimeException('still without a writer: ' . implode(', ', array_keys(array_diff_key($clients, $outages))));
        }
        usleep(50_000);
    }

    return $outages;
}

/**
 * @param list<array<string, float>> $runs
 * @return array<string, float>
 */
function medians(array $runs): array
{
    return array_map(static fn(string $way): float => median(array_column($runs, $way)), array_combine(array_keys(WAYS), array_keys(WAYS)));
}

/** @param array<string, float> $medians */
function outages(string $title, array $medians): void
{
    printf("%s\n", $title);
    foreach ($medians as $way => $seconds) {
        printf("  %-58s %9.3f s  %+8.3f s\n", WAYS[$way], $seconds, $seconds - $medians['oracle']);
    }
}

$leader = new PDO(HaDsn::writer(), 'app', 'app');
$leader->exec('DROP TABLE IF EXISTS bench_failover');
$leader->exec('CREATE TABLE bench_failover (at timestamptz NOT NULL DEFAULT clock_timestamp())');
unset($leader);

$clients = [];
try {
    foreach (array_keys(WAYS) as $way) {
        $clients[$way] = new Client($library, $way);
    }
    sleep(2);
    $runs = [];
    for ($i = 1; $i <= $switchovers; $i++) {
        $runs[] = $outages = disturb($clients, 'switchover');
        fprintf(STDERR, "switchover %d of %d: %s\n", $i, $switchovers, json_encode(array_map(static fn(float $s): float => round($s, 3), $outages)));
    }
    $crashRuns = [];
    for ($i = 1; $i <= $crashes; $i++) {
        $crashed = trim(json_decode(lab('status', '--json'), true, 16, JSON_THROW_ON_ERROR)['leader'] ?? '');
        $crashRuns[] = $outages = disturb($clients, 'kill', $crashed);
        fprintf(STDERR, "crash %d of %d: %s\n", $i, $crashes, json_encode(array_map(static fn(float $s): float => round($s, 3), $outages)));
        lab('start', '--wait', $crashed);
    }
} finally {
    array_walk($clients, static fn(Client $client) => $client->end());
}

$switchover = medians($runs);
outages("A switchover (median of {$switchovers})", $switchover);
promise('HaDsn::connect() : the oracle, seconds more', $switchover['connect'] - $switchover['oracle'], 0.1);
promise('HaDsn\Connection::run() : the oracle, seconds more', $switchover['run'] - $switchover['oracle'], 0.1);
if ($crashRuns !== []) {
    $crash = medians($crashRuns);
    outages("A crash of the leader (median of {$crashes})", $crash);
    promise('HaDsn::connect() : the oracle, seconds more', $crash['connect'] - $crash['oracle'], 0.3);
}
