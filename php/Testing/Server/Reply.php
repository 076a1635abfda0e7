<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * What is expected from the server up to one ReadyForQuery.
 *
 * @internal
 */
final class Reply
{
    /** Kept back until it is known whether the statement has taken effect. */
    public string $withheld = '';
    public bool $hasFailed = false;

    /** The client sends data, which the server has asked for. */
    public bool $isCopying = false;

    /** What happens when the server has done it. */
    public ?Trap $trap = null;

    /** @var list<int> the statements that it answers, by their numbers in the journal */
    public array $statements = [];

    /** @param bool $isOurs it answers a statement that the client knows nothing of */
    public function __construct(public readonly bool $isOurs = false) {}
}
