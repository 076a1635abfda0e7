<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * What a child process left behind.
 */
final class Outcome
{
    public function __construct(
        public readonly int $exitCode,
        public readonly string $stdout,
        public readonly string $stderr,
    ) {}

    /**
     * Its standard output as JSON.
     */
    public function json(): mixed
    {
        try {
            return json_decode($this->stdout, true, 512, JSON_THROW_ON_ERROR);
        } catch (\JsonException $e) {
            throw new \RuntimeException("{$e->getMessage()}: exit code {$this->exitCode}\n{$this->stdout}\n{$this->stderr}", 0, $e);
        }
    }
}
