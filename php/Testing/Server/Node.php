<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * A member, as it is now.
 *
 * @internal
 */
final class Node
{
    public bool $isUp = true;
    public bool $isListed = true;

    /** Its API answers and its PostgreSQL does not take connections yet. */
    public bool $isStarting = false;
    public bool $isFrozen = false;

    /** How long its API takes to answer, in seconds; infinite: it says nothing. */
    public float $delay = 0.0;
    public int $timeline = 1;

    /** @param array<string, bool|int|float|string|null> $tags */
    public function __construct(
        public readonly string $name,
        public readonly string $role,
        public ?int $lag,
        public readonly array $tags,
        public readonly string $host,
        public readonly int $port,
        public readonly Door $postgres,
        public readonly Door $api,
    ) {}

    public function mayLead(): bool
    {
        return $this->isUp && $this->isListed && !$this->isFrozen && ($this->tags['nofailover'] ?? false) !== true;
    }

    /** Whether anybody listens. */
    public function open(bool $isUp): void
    {
        $this->isUp = $isUp;
        foreach ([$this->postgres, $this->api] as $door) {
            $isUp ? $door->open() : $door->close();
        }
    }
}
