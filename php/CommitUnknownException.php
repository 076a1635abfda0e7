<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * COMMIT was sent and its answer was lost: the transaction may have been committed, and may not have been. Nothing was
 * repeated. The PDOException that told of the loss is the previous one.
 *
 * What to do depends on what was written: look for it (a number that the application chose, an order's key) once
 * there is a leader again, or tell the user that the outcome is not known. See docs/failover.md.
 */
final class CommitUnknownException extends \RuntimeException implements Exception
{
    /**
     * @param string|null $xid   the transaction's id (`pg_current_xact_id()`), where `proof` has asked for it
     * @param string|null $token what `proof` has put in the ledger for it
     */
    public function __construct(
        string $message = 'no answer to COMMIT: the transaction may have been committed, and may not have been',
        public readonly ?string $xid = null,
        public readonly ?string $token = null,
        ?\Throwable $previous = null,
    ) {
        parent::__construct($message, 0, $previous);
    }
}
