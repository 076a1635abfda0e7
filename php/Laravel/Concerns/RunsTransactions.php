<?php

declare(strict_types=1);

namespace HaDsn\Laravel\Concerns;

use HaDsn\CommitUnknownException;
use HaDsn\Connection\Patience;
use HaDsn\Connection\SqlState;
use HaDsn\Laravel\FailoverException;
use HaDsn\Laravel\StoredModels;
use HaDsn\NoLeaderException;
use HaDsn\Phase;
use HaDsn\TransactionException;
use HaDsn\Verdict;
use Illuminate\Database\QueryException;

/**
 * What a failover does to transactions: they run again if they were lost before COMMIT, and a COMMIT without an answer is told, not repeated.
 *
 * @internal
 */
trait RunsTransactions
{
    /** A connection that is to be given up with its transaction: its server does not lead any more. */
    private ?\PDO $deposed = null;

    /** Whether a statement has ended the transaction that Laravel takes for open: COMMIT, written out. */
    private bool $isEnded = false;

    /** What the work of `transaction()` has stored so far. */
    private ?StoredModels $models = null;

    /** How many transactions were committed, so that work is not repeated which has committed some of it. */
    private int $commits = 0;

    /**
     * @param int           $attempts  how often conflicts with other transactions may let it run
     * @param \Closure|null $onFailure is told what is thrown. Laravel had this parameter for a while (12.9)
     */
    public function transaction(\Closure $callback, $attempts = 1, ?\Closure $onFailure = null)
    {
        if ($this->transactions > 0) {
            // A savepoint. What a failover does is for the outermost.
            return parent::transaction($callback, $attempts, $onFailure);
        }
        try {
            return $this->runTransaction($callback, (int) $attempts);
        } catch (\Throwable $e) {
            if ($onFailure !== null) {
                $onFailure($e);
            }
            throw $e;
        } finally {
            $this->models = null;
        }
    }

    public function commit()
    {
        if ($this->transactions !== 1) {
            parent::commit();

            return;
        }
        try {
            $this->runQueryCallback('COMMIT', [], fn() => $this->check());
        } catch (QueryException $e) {
            $cause = $e->getPrevious();
            throw match (true) {
                $cause instanceof TransactionException => $cause,
                $this->isLost() || $cause instanceof NoLeaderException => FailoverException::of($e, Verdict::Retry),
                default => $e,
            };
        }
        $refusal = $this->settle();
        if ($refusal !== null) {
            throw $refusal;
        }
    }

    protected function handleBeginTransactionException(\Throwable $e)
    {
        $patience = new Patience($this->cluster);
        while (true) {
            // Nothing comes of a BEGIN. hadsn's own exceptions come after it has waited for as long as it may.
            if ($e instanceof \HaDsn\Exception || $this->verdict($e, Phase::Connect) !== Verdict::Retry || !$patience->waitForFailover()) {
                throw $e;
            }
            $this->setPdo($this->pdo instanceof \PDO ? null : $this->pdo);
            try {
                $this->getPdo()->beginTransaction();

                return;
            } catch (\PDOException|\HaDsn\Exception $again) {
                $e = $again;
            }
        }
    }

    protected function performRollBack($toLevel)
    {
        try {
            // Laravel 8 asks PDO to end also what is not there.
            if ((int) $toLevel > 0 || $this->getPdo()->inTransaction()) {
                parent::performRollBack($toLevel);
            }
        } catch (\Throwable $e) {
            if (!$this->isLost()) {
                throw $e;
            }
            // The server has rolled back all of it. Within a savepoint the connection stays, so that the rest fails too.
            $this->verdict($e, Phase::InTransaction);
        }
        if ((int) $toLevel === 0 && ($this->isLost() || $this->deposed !== null)) {
            $this->setPdo(null);
        }
    }

    private function runTransaction(\Closure $callback, int $attempts): mixed
    {
        $patience = new Patience($this->cluster);
        $attempt = 1;
        $this->models = $models = new StoredModels();
        while (true) {
            $this->beginTransaction();
            $pdo = $this->pdo;
            $commits = $this->commits;
            try {
                $result = $callback($this);
                if ($this->pdo !== $pdo || $this->isEndedByHand()) {
                    throw TransactionException::ended();
                }
                if ($this->transactions === 1) {
                    $models->check();
                    $this->check();
                }
            } catch (\Throwable $e) {
                if ($this->pdo !== $pdo) {
                    throw $e;
                }
                if ($this->commits !== $commits || $this->isEndedByHand()) {
                    // What it has committed is not to be done twice.
                    $this->isLost() ? $this->giveUp($e, Phase::Autocommit) : $this->rollBack(0);
                    throw $e;
                }
                if ($this->isEndedByFailover($e)) {
                    if (!$patience->waitForFailover()) {
                        throw $e;
                    }
                    $models->lose();
                    continue;
                }
                $this->handleTransactionException($e, $attempt++, $attempts, null);
                continue;
            }
            $refusal = $this->settle();
            if ($refusal === null) {
                return $result;
            }
            if ($this->commits !== $commits || !$this->causedByConcurrencyError($refusal) || $attempt++ >= $attempts) {
                throw $refusal;
            }
        }
    }

    /**
     * Looks whether the transaction can be committed. It is a round trip, and worth it: a failed transaction's COMMIT is a
     * ROLLBACK without an error, and a loss that is noticed here is no doubt.
     *
     * @throws TransactionException if a statement has failed and the work went on
     * @throws NoLeaderException    if the server is a replica by now
     * @throws \PDOException        if the connection is lost
     */
    private function check(): void
    {
        $pdo = $this->getPdo();
        $handle = $this->handle($pdo);
        if (!$handle->isLost() && !$pdo->inTransaction()) {
            // Ended by hand: PDO will say so.
            return;
        }
        try {
            $isStandby = $handle->isStandby();
        } catch (\PDOException $e) {
            throw SqlState::of($e) === SqlState::FAILED_TRANSACTION ? TransactionException::failed($e) : $e;
        }
        if ($isStandby) {
            $this->deposed = $pdo;
            throw new NoLeaderException('transaction(): the server that it ran on does not lead any more');
        }
    }

    /**
     * Commits. Returns what the server has refused it with: then it is rolled back.
     *
     * @throws CommitUnknownException if there was no answer
     * @throws \Throwable             what the listeners of events throw: before COMMIT, or after it
     */
    private function settle(): ?\PDOException
    {
        $pdo = $this->pdo;
        if ($this->transactions !== 1 || !$pdo instanceof \PDO || !$pdo->inTransaction()) {
            // Ended by hand: PDO says so, or there is nothing to do.
            parent::commit();

            return null;
        }
        try {
            parent::commit();
            ++$this->commits;

            return null;
        } catch (\Throwable $e) {
            if ($this->transactions === 0) {
                ++$this->commits;
                throw $e;
            }
            if (!$e instanceof \PDOException || $e instanceof QueryException || $this->handle($pdo)->isInTransaction()) {
                // A listener's: COMMIT was not sent.
                $this->rollBack();
                throw $e;
            }
            if ($this->handle($pdo)->isRefusal($e, $this->verdict($e, Phase::Commit))) {
                $this->transactions = 0;
                $this->transactionsManager?->rollback((string) $this->getName(), 0);
                $this->fireConnectionEvent('rollingBack');

                return $e;
            }
            $this->recordsHaveBeenModified();
            try {
                $this->giveUp($e, Phase::Commit);
            } finally {
                // Whatever listeners throw: the doubt is what has to be known.
                throw new CommitUnknownException(previous: $e);
            }
        }
    }

    private function isEndedByHand(): bool
    {
        return $this->transactions > 0 && ($this->isEnded || !$this->getPdo()->inTransaction());
    }

    /** Whether a failover is why the transaction can't go on; if so, it has been given up, and may run again. */
    private function isEndedByFailover(\Throwable $e): bool
    {
        if ($this->transactions === 0) {
            return false;
        }
        if ($this->isLost()) {
            return $this->giveUp($e, Phase::InTransaction) === Verdict::Retry;
        }
        if (!SqlState::isIn($e, SqlState::READ_ONLY) && !$e instanceof NoLeaderException) {
            return false;
        }
        // An application's own READ ONLY transaction is refused like this too.
        $handle = $this->pdo instanceof \PDO ? $this->handle($this->pdo) : null;
        $this->rollBack(0);
        try {
            $isStandby = $handle === null || $this->pdo === null || $handle->isStandby();
        } catch (\PDOException) {
            $isStandby = true;
        }
        if ($isStandby) {
            $this->setPdo(null);
            $this->verdict($e, Phase::InTransaction);
        }

        return $isStandby;
    }

    /** Gives up the connection to the leader, and its transaction. */
    private function giveUp(\Throwable $because, Phase $phase): Verdict
    {
        $verdict = $this->verdict($because, $phase);
        $this->setPdo(null);
        $this->fireConnectionEvent('rollingBack');

        return $verdict;
    }
}
