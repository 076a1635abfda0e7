<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Net\Postgres;

/**
 * A member as doctor knows it: what is announced of it, and what is found there.
 *
 * @internal
 */
final class Node
{
    public function __construct(public readonly Announcement $said, public readonly Postgres $found) {}

    public function name(): string
    {
        return $this->said->name;
    }

    /** Whether it is said to take writes. */
    public function isLeader(): bool
    {
        return $this->said->isLeader();
    }

    public function subject(): string
    {
        $at = (string) $this->found->endpoint;
        $through = (string) $this->said->address === $at ? '' : " (announced as {$this->said->address})";

        return $this->name() === $at ? $at : "{$this->name()} at $at$through";
    }
}
