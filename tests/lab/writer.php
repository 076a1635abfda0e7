<?php

/*
 * An application that writes: one row every 10 ms to whoever leads, for as long as the demo runs.
 * It tells what it sees on standard output, one JSON object a line.
 *
 *     php writer.php NAME DSN     connects by new PDO(DSN), whatever that is
 *     php writer.php NAME         connects by HaDsn::connect()
 */

declare(strict_types=1);

const INTERVAL = 0.010;      // seconds between two rows
const PAUSE = 0.050;         // seconds between two attempts to connect
const REPORT_EVERY = 1.0;    // seconds between two counts
const LIFETIME = 240.0;      // seconds; it ends by itself if nobody ends it

final class Writer
{
    private ?PDOStatement $insert = null;
    private string $address = '';
    private int $number = 0;
    private int $firstHere = 0;
    private int $written = 0;
    private int $writtenHere = 0;
    private ?float $lastSuccess = null;
    private bool $failing = false;
    private string $lastError = '';

    /** @param Closure(): PDO $connect */
    public function __construct(private readonly string $name, private readonly Closure $connect) {}

    public function run(): void
    {
        $end = now() + LIFETIME;
        $nextReport = now();
        for ($next = now(); $next < $end; $next = max($next + INTERVAL, now())) {
            pause($next - now());
            try {
                $this->write();
            } catch (RuntimeException $error) {
                $this->failed($error);
                pause(PAUSE);
            }
            if (!$this->failing && now() >= $nextReport) {
                emit('count', ['count' => $this->count()]);
                $nextReport = now() + REPORT_EVERY;
            }
        }
    }

    private function write(): void
    {
        $this->insert ??= $this->connect();
        $this->insert->execute([++$this->number]);
        $this->succeeded();
    }

    private function connect(): PDOStatement
    {
        $pdo = ($this->connect)();
        $pdo->exec('SET client_min_messages = warning');
        $address = $pdo->query('SELECT host(inet_server_addr())')->fetchColumn();
        if ($address !== $this->address) {
            $this->writtenHere = 0;
            $this->firstHere = $this->number + 1;
        }
        $this->address = $address;
        emit('connected', ['address' => $address]);

        return $pdo->prepare("INSERT INTO demo (writer, id) VALUES ('{$this->name}', ?)");
    }

    private function succeeded(): void
    {
        $now = now();
        ++$this->written;
        ++$this->writtenHere;
        if ($this->failing) {
            $outage = $now - ($this->lastSuccess ?? $now);
            emit('recovered', ['outage' => $outage, 'count' => $this->count()]);
        }
        $this->lastSuccess = $now;
        $this->failing = false;
        $this->lastError = '';
    }

    private function failed(Throwable $error): void
    {
        $this->insert = null;
        $this->failing = true;
        $text = get_class($error) . ': ' . trim(preg_replace('/\s+/', ' ', $error->getMessage()));
        if ($text !== $this->lastError) {
            emit('error', ['text' => $text]);
            $this->lastError = $text;
        }
    }

    /** @return array<string, int|string> */
    private function count(): array
    {
        return [
            'address' => $this->address,
            'written' => $this->written,
            'here' => $this->writtenHere,
            'first_here' => $this->firstHere,
            'last' => $this->number,
        ];
    }
}

/** @param array<string, mixed> $facts */
function emit(string $event, array $facts): void
{
    $line = json_encode(['event' => $event] + $facts, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE) . "\n";
    if (@fwrite(STDOUT, $line) === false) {
        exit(1); // nobody listens any more
    }
}

/** Seconds on a clock that nobody sets. */
function now(): float
{
    return hrtime(true) / 1e9;
}

function pause(float $seconds): void
{
    if ($seconds > 0) {
        usleep((int) ($seconds * 1e6));
    }
}

const OPTIONS = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 3];

$name = $argv[1] ?? exit("usage: php writer.php NAME [DSN]\n");
$dsn = $argv[2] ?? null;
$connect = $dsn === null
    ? static fn(): PDO => HaDsn::connect('app', 'app', OPTIONS)
    : static fn(): PDO => new PDO($dsn, 'app', 'app', OPTIONS);

(new Writer($name, $connect))->run();
