<?php

declare(strict_types=1);

namespace HaDsn\Testing;

/**
 * A statement that the application has sent through a {@see FakeCluster::inFrontOf()}.
 */
final class Statement
{
    /** @internal */
    public function __construct(
        /** The text, as it was sent, with its placeholders. */
        public readonly string $sql,
        /** The member that it was sent to. */
        public readonly string $member,
        /** A number of its own for each connection. */
        public readonly int $connection,
        public readonly Fate $fate,
    ) {}
}
