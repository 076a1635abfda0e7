<?php

/*
 * An application that writes: one row every 10 ms to whoever leads, for as long as the demo runs.
 * It tells what it sees on standard output, one JSON object a line.
 */

declare(strict_types=1);

const INTERVAL = 0.010;      // seconds between two rows
const PAUSE = 0.050;         // seconds between two attempts to connect
const REPORT_EVERY = 1.0;    // seconds between two counts
const LIFETIME = 240.0;      // seconds; it ends by itself if nobody ends it

final class Writer
{
    private ?PDOStatement $insert = null;
    private string $member = '';
    private string $address = '';
    private int $number = 0;
    private int $firstHere = 0;
    private int $written = 0;
    private int $writtenHere = 0;
    private ?float $lastSuccess = null;
    private bool $failing = false;
    private string $lastError = '';

    public function run(): void
    {
        $end = now() + LIFETIME;
        $nextReport = now();
        for ($next = now(); $next < $end; $next = max($next + INTERVAL, now())) {
            pause($next - now());
            try {
                $this->write();
            } catch (PDOException | HaDsn\Exception $error) {
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

    /** All that an application needs to go on after a failover: ask who leads, connect there. */
    private function connect(): PDOStatement
    {
        $pdo = new PDO(HaDsn::writer(), 'app', 'app', [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 3]);
        $pdo->exec('SET client_min_messages = warning');
        $pdo->exec(
            'CREATE TABLE IF NOT EXISTS demo (id bigint PRIMARY KEY, written_at timestamptz NOT NULL DEFAULT now(),'
            . ' server text NOT NULL DEFAULT host(inet_server_addr()))',
        );
        $address = $pdo->query('SELECT host(inet_server_addr())')->fetchColumn();
        $member = HaDsn::topology()->leader?->name ?? $address;
        if ($address !== $this->address) {
            $this->writtenHere = 0;
            $this->firstHere = $this->number + 1;
        }
        $this->member = $member;
        $this->address = $address;
        emit('connected', ['member' => $member, 'address' => $address]);

        return $pdo->prepare('INSERT INTO demo (id) VALUES (?)');
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
        // Trying again does not help against a wrong configuration.
        if ($error instanceof HaDsn\ConfigException) {
            throw $error;
        }
        $this->insert = null;
        $this->failing = true;
        $text = get_class($error) . ': ' . trim(preg_replace('/\s+/', ' ', $error->getMessage()));
        if ($text !== $this->lastError) {
            emit('error', ['text' => $text]);
            $this->lastError = $text;
        }
        HaDsn::invalidate();
    }

    /** @return array<string, int|string> */
    private function count(): array
    {
        return [
            'member' => $this->member,
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

(new Writer())->run();
