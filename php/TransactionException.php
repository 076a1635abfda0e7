<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * A {@see Connection}, or a framework's, was used in a way that would break a transaction. It is a mistake in the program, and no repeat
 * helps.
 */
final class TransactionException extends \LogicException implements Exception
{
    /** @internal */
    public static function open(): self
    {
        return new self('transaction(): a transaction is open on this connection that was not begun by transaction(): end it first, or do all of it in transaction()');
    }

    /** @internal */
    public static function ended(?\Throwable $previous = null): self
    {
        return new self('transaction(): the work has ended the transaction itself: what it did until then stays as it left it; remove its COMMIT or ROLLBACK', 0, $previous);
    }

    /** @internal */
    public static function failed(\Throwable $previous): self
    {
        return new self('transaction(): a statement of the work has failed and the work went on: nothing of it could be committed; let the exception through, or put the statement in a transaction() of its own', 0, $previous);
    }

    /** @internal */
    public static function unfinished(): self
    {
        return new self('transaction(): the work has begun a transaction within it and has not ended that: nothing was committed');
    }

    /** @internal */
    public static function withoutAutoCommit(): self
    {
        return new self('transaction(): auto-commit is off on this connection, so a transaction is open all the time: turn it on, or commit by yourself');
    }

    /** @internal */
    public static function stored(): self
    {
        return new self('transaction(): a failover ended the work, and run again it uses a model that takes for stored what was lost: nothing was committed; make and fetch models in the work');
    }

    /** @internal */
    public static function otherConnection(): self
    {
        return new self('transaction(): the registry has made an entity manager with a connection of its own, which this transaction does not run on: it has to give the new one the connection of the old one');
    }

    /** @internal */
    public static function position(): self
    {
        return new self('position(): a transaction is open: ask after it was committed');
    }
}
