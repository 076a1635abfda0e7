<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Exceptions\DatabaseException;
use HaDsn\CommitUnknownException;
use HaDsn\Connection\Patience;
use HaDsn\Phase;
use HaDsn\Verdict;
use PgSql\Connection as Handle;

/**
 * One link after another, for as long as an application uses a database group: work that a failover stopped is done again on a
 * new link when it has done nothing that lasts, and a transaction never goes on there.
 *
 * It does not know about transactions inside of transactions: its user says with each call whether one is open.
 *
 * @internal
 */
final class Session
{
    private const READ_ONLY = '25006';

    /** When it began to connect for the last time, in Unix time, and how long that took; seconds. */
    public float $connectTime = 0.0;
    public float $connectDuration = 0.0;

    private ?Link $link = null;

    /** What has ended the open transaction before its time. */
    private TransactionLostException|Failure|null $ended = null;

    public function __construct(
        private readonly string $cluster,
        private readonly string $role,
        public Dialer $dialer,
    ) {}

    public function handle(): ?Handle
    {
        return $this->link?->handle;
    }

    /**
     * Connects, unless it is connected.
     *
     * @throws DatabaseException        if nothing can be connected to
     * @throws TransactionLostException if the connection went in a transaction that has not been ended yet
     */
    public function open(): Link
    {
        $this->throwIfLost();
        if ($this->link === null) {
            $this->connectTime = microtime(true);
            $this->link = $this->dialer->dial();
            $this->connectDuration = microtime(true) - $this->connectTime;
        }

        return $this->link;
    }

    /**
     * Does something on the link, and again on a new one if a failover stopped it and it has done nothing that lasts.
     *
     * @template T
     *
     * @param \Closure(Link): T $work
     * @param Phase|null        $phase what it is in; null: what the link says
     *
     * @return T
     *
     * @throws Failure                  if it failed
     * @throws TransactionLostException if the open transaction was lost with the connection
     * @throws DatabaseException        if nothing can be connected to
     */
    public function run(\Closure $work, bool $isInTransaction, ?Phase $phase = null): mixed
    {
        $patience = new Patience($this->cluster);
        do {
            if ($this->ended instanceof Failure) {
                throw $this->ended;
            }
            $link = $this->usable($isInTransaction);
            $isOpen = $isInTransaction || $link->isInTransaction();
            $current = Phase::Connect;
            try {
                $current = match (true) {
                    $isOpen => Phase::InTransaction,
                    $phase !== null => $phase,
                    // Nothing that is done on a replica lasts.
                    $this->role === 'reader' && $link->isKnownStandby() => Phase::InTransaction,
                    default => Phase::Autocommit,
                };

                return $work($link);
            } catch (Failure $failure) {
            }
            if ($isOpen && $failure->isLost) {
                $this->lose($failure, $isInTransaction);
            }
            $mayRepeat = match (true) {
                $failure->isLost => $this->giveUp($failure, $current) === Verdict::Retry,
                $this->role === 'writer' && $failure->sqlstate === self::READ_ONLY => $this->hasMoved($link, $failure, $isOpen, $isInTransaction),
                default => false,
            };
        } while ($mayRepeat && $patience->waitForFailover());

        throw $failure;
    }

    /**
     * Commits.
     *
     * @param Failure $reason what to say if the server would roll back instead
     *
     * @throws Failure                  if nothing was committed: the server has refused, or a statement had failed
     * @throws TransactionLostException if the connection went before COMMIT was sent
     * @throws CommitUnknownException   if COMMIT was sent and nobody has said what became of it
     */
    public function commit(Failure $reason): void
    {
        $link = $this->link;
        if ($this->ended !== null || $link === null || $link->isInFailedTransaction()) {
            // The server would answer COMMIT with a ROLLBACK, and without an error.
            $this->rollBack();
            throw $reason;
        }
        if ($link->hasEnded()) {
            $this->lose(Failure::idle(), false);
        }
        try {
            $result = $link->query('COMMIT');
        } catch (Failure $failure) {
            $verdict = \HaDsn::verdict($failure, Phase::Commit, $this->cluster);
            // Only a server that is still there can say no.
            if (!$failure->isLost && $verdict !== Verdict::InDoubt) {
                throw $failure;
            }
            $this->drop($failure);
            log_message('error', "hadsn: cluster $this->cluster: no answer to COMMIT: the transaction may have been committed");
            throw new CommitUnknownException(previous: $failure);
        }
        if (pg_result_status($result, PGSQL_STATUS_STRING) === 'ROLLBACK') {
            // What hasEnded() asks may fail too (statement_timeout), and the transaction with it.
            throw $reason;
        }
    }

    /** Rolls back, which never fails: a server rolls back what it loses. */
    public function rollBack(): void
    {
        if (!$this->isLost() && $this->link?->isInTransaction()) {
            try {
                $this->link->query('ROLLBACK');
            } catch (Failure $failure) {
                $this->giveUp($failure);
            }
        }
        $this->ended = null;
    }

    /** Asks for a sign of life, and lets go of a link that gives none or leads to the wrong server, unless a transaction is open on it. */
    public function check(): void
    {
        if ($this->link === null || $this->link->isInTransaction()) {
            return;
        }
        try {
            if ($this->link->isStandby() && $this->role === 'writer') {
                $this->giveUp(Failure::role());
            }
        } catch (Failure $failure) {
            $this->giveUp($failure);
        }
    }

    /** Whether the server answers. */
    public function isAlive(): bool
    {
        try {
            $this->link?->query('SELECT 1');
        } catch (Failure $failure) {
            return !$failure->isLost;
        }

        return $this->link !== null;
    }

    public function deallocate(string $statement): bool
    {
        try {
            // With its link it is gone anyway.
            $this->link?->deallocate($statement);
        } catch (Failure) {
            return false;
        }

        return true;
    }

    public function close(bool $isInTransaction): void
    {
        if ($isInTransaction) {
            $this->ended ??= new TransactionLostException(previous: Failure::closed());
        }
        $this->link?->close();
        $this->link = null;
    }

    /** Whether the open transaction has been lost. */
    public function isLost(): bool
    {
        return $this->ended instanceof TransactionLostException;
    }

    /** @throws TransactionLostException if the open transaction was lost */
    public function throwIfLost(): void
    {
        if ($this->ended instanceof TransactionLostException) {
            throw new TransactionLostException(previous: $this->ended->getPrevious());
        }
    }

    /** The link, which is a new one if the old one has ended. */
    private function usable(bool $isInTransaction): Link
    {
        // libpq knows it as long as it has not noticed the end.
        $isOpen = $isInTransaction || $this->link?->isInTransaction();
        if ($this->link?->hasEnded()) {
            if ($isOpen) {
                $this->lose(Failure::idle(), $isInTransaction);
            }
            $this->giveUp(Failure::idle());
        } elseif ($this->link?->isDoubted && !$isOpen) {
            $this->check();
        }

        return $this->open();
    }

    /**
     * Whether a server that refused a write has become a replica; if so, the link is given up. An application's own READ ONLY
     * transaction gets the same refusal, and is none of hadsn's business.
     */
    private function hasMoved(Link $link, Failure $refusal, bool $isOpen, bool $isInTransaction): bool
    {
        if ($isOpen && !$isInTransaction) {
            // Nobody would keep the rest of it from running outside if it were ended here: the server does as long as it is open.
            $link->isDoubted = true;

            return false;
        }
        try {
            if ($isOpen) {
                // In a failed transaction nothing can be asked. It is over then, and the rest of it must not run outside.
                $link->query('ROLLBACK');
            }
            if (!$link->isStandby()) {
                $this->ended = $isInTransaction ? $refusal : null;

                return false;
            }
        } catch (Failure) {
            // It has gone for good meanwhile, which comes to the same.
        }
        if ($isOpen) {
            $this->lose($refusal, $isInTransaction);
        }

        return $this->giveUp($refusal, Phase::Autocommit) === Verdict::Retry;
    }

    /**
     * Ends the open transaction with its link.
     *
     * @param bool $staysLost until it is rolled back
     *
     * @throws TransactionLostException
     */
    private function lose(Failure $failure, bool $staysLost): never
    {
        $this->giveUp($failure, Phase::InTransaction);
        $lost = new TransactionLostException(previous: $failure);
        $this->ended = $staysLost ? $lost : null;
        log_message('error', "hadsn: cluster $this->cluster: {$lost->getMessage()}: {$failure->getMessage()}");
        throw $lost;
    }

    /** Gives a link up, tells hadsn why, and says what that means for what was under way. */
    private function giveUp(Failure $failure, Phase $phase = Phase::Connect): Verdict
    {
        $verdict = \HaDsn::verdict($failure, $phase, $this->cluster);
        $this->drop($failure);

        return $verdict;
    }

    private function drop(Failure $failure): void
    {
        if ($this->link !== null) {
            log_message('warning', "hadsn: cluster $this->cluster: the connection to the $this->role is given up: {$failure->getMessage()}");
            $this->link->close();
        }
        $this->link = null;
    }
}
