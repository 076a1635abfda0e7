<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;
use HaDsn\Console\Net\Postgres;

/**
 * A member as doctor knows it: what is announced of it, and what is found there.
 *
 * @internal
 */
final class Node
{
    public function __construct(
        public readonly string $name,
        public readonly string $role,
        public readonly string $state,
        public readonly ?int $lag,
        public readonly bool $isExcluded,
        public readonly ?string $apiUrl,
        public readonly Endpoint $announced,
        public readonly Postgres $found,
    ) {}

    /** Whether it is said to take writes. */
    public function isLeader(): bool
    {
        return $this->role === 'leader';
    }

    public function subject(): string
    {
        $through = (string) $this->announced === (string) $this->found->endpoint ? '' : " (announced as $this->announced)";

        return "$this->name at {$this->found->endpoint}$through";
    }
}
