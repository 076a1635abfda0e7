<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use HaDsn\Exception;

/**
 * The leader went while a transaction was open. Nothing of it was written, and none of its remaining statements runs
 * anywhere else. What went wrong is the previous exception.
 *
 * End it with `$db->transRollback()`, then run all of it again: that connects to the new leader.
 */
final class TransactionLostException extends \RuntimeException implements Exception
{
    public function __construct(
        string $message = 'the leader went in a transaction: nothing of it was written; end it with transRollback() and run all of it again',
        ?\Throwable $previous = null,
    ) {
        parent::__construct($message, 0, $previous);
    }
}
