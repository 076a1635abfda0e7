<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Process;

/**
 * Stands between PDO and the leader, and cuts the connection when it sees a COMMIT: the script proxy.php.
 */
final class Proxy
{
    private readonly Directory $directory;
    private readonly Process $process;
    private readonly string $address;

    public function __construct(private readonly string $server)
    {
        $this->directory = new Directory();
        $this->directory->write('cut', '');
        $this->directory->write('commits', '');
        $this->process = new Process([PHP_BINARY, __DIR__ . '/proxy.php', "$server:5432", $this->directory->path]);
        $this->address = $this->process->waitFor('~^(127\.0\.0\.1:\d+)$~m', 20.0)[1];
    }

    /** The source of the cluster whose leader is reached through this. */
    public function url(): string
    {
        return Lab::URL . "?sslmode=disable&gssencmode=disable&map=$this->server=$this->address";
    }

    /** Cuts the connection at the next COMMIT, `before` the server gets it or `after` it has carried it out. */
    public function cutCommit(string $when): void
    {
        $this->directory->write('cut', $when);
    }

    /**
     * What became of each COMMIT so far: `before`, `after`, or nothing if it was passed on.
     *
     * @return list<string>
     */
    public function commits(): array
    {
        return file("{$this->directory->path}/commits", FILE_IGNORE_NEW_LINES) ?: [];
    }

    public function stop(): void
    {
        $this->process->stop();
    }
}
