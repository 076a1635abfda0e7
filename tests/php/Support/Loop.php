<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * An application that goes on doing the same in a process of its own: the script loop.php, or one that says the same.
 */
final class Loop
{
    private readonly Directory $directory;
    private readonly Process $process;

    /**
     * @param string $role   `writer` (a row every 10 ms) or `reader` (a connection and a query every 10 ms)
     * @param string $url    the source of its cluster
     * @param string $script what it runs
     */
    public function __construct(string $role, string $url = Lab::URL, string $script = __DIR__ . '/loop.php')
    {
        $this->directory = new Directory();
        $this->process = new Process([...Php::command(), $script, $role, $this->log()], ['HADSN_URL' => $url]);
    }

    /**
     * What has come of it so far, in order.
     *
     * @return list<array{at: float, seconds: float, number: int, host: string|null, server: string|null, error: string|null}>
     */
    public function turns(): array
    {
        return JsonLines::read($this->log());
    }

    /**
     * Those that went well.
     *
     * @return list<array{at: float, seconds: float, number: int, host: string, server: string, error: null}>
     */
    public function successes(): array
    {
        return array_values(array_filter($this->turns(), static fn(array $turn): bool => $turn['error'] === null));
    }

    /** How many went well at a server (a node's name) so far. */
    public function successesAt(string $node): int
    {
        return count(array_keys(array_column($this->successes(), 'server'), Lab::address($node), true));
    }

    /** Ends it, and returns how it ended. */
    public function end(): Outcome
    {
        return $this->process->wait(30.0);
    }

    private function log(): string
    {
        return "{$this->directory->path}/log";
    }
}
