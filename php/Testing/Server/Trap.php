<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * What is to happen at a statement, once.
 *
 * @internal
 */
final class Trap
{
    /** @param array<string, mixed> $action */
    public function __construct(
        public readonly bool $isBefore,
        public readonly string $statement,
        private readonly string $pattern,
        private int $nth,
        public readonly array $action,
    ) {}

    /** Whether this is the statement, or a later one if something else came between. Every one that matches counts. */
    public function isDue(string $sql): bool
    {
        return preg_match($this->pattern, $sql) === 1 && --$this->nth <= 0;
    }

    public function describe(): string
    {
        return ($this->isBefore ? 'before ' : 'after ') . $this->statement;
    }
}
