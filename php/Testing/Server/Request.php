<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * Somebody who asks a member's REST API.
 *
 * @internal
 */
final class Request
{
    /** When it is answered. */
    public ?float $dueAt = null;

    public function __construct(public readonly Node $node, public readonly Channel $client) {}

    public function isClosed(): bool
    {
        return !is_resource($this->client->socket);
    }
}
