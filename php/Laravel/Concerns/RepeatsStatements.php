<?php

declare(strict_types=1);

namespace HaDsn\Laravel\Concerns;

use HaDsn\Connection\Patience;
use HaDsn\Connection\Role;
use HaDsn\Connection\SqlState;
use HaDsn\Laravel\FailoverException;
use HaDsn\Phase;
use HaDsn\Verdict;
use Illuminate\Database\QueryException;

/**
 * What a failover does to statements outside of transactions: those that did nothing run again, and those that only read.
 *
 * @internal
 */
trait RepeatsStatements
{
    /** Whether a statement that may only read is being repeated. */
    private bool $isRepeating = false;

    protected function handleQueryException(QueryException $e, $query, $bindings, \Closure $callback)
    {
        if ($this->transactions >= 1) {
            $this->isEnded = $this->isEnded || ($this->isLost() && self::mayCommit($query));
            $verdict = $this->isLost() ? $this->verdict($e, $this->isEnded ? Phase::Autocommit : Phase::InTransaction) : Verdict::Unrelated;
            throw $verdict === Verdict::Unrelated ? $e : $this->failure($e, $verdict);
        }
        $patience = new Patience($this->cluster);
        $isReading = false;
        while (true) {
            $verdict = $this->judge($e);
            if ($verdict === Verdict::Unrelated) {
                throw $e;
            }
            $isReading = $isReading || $verdict === Verdict::InDoubt;
            // hadsn's own exceptions come after it has waited for as long as it may.
            $isOver = $this->isByHand || $e->getPrevious() instanceof \HaDsn\Exception || ($isReading && preg_match(self::QUESTION, $query) !== 1);
            if ($isOver || !$patience->waitForFailover()) {
                throw $this->failure($e, $isReading ? Verdict::InDoubt : $verdict);
            }
            try {
                return $this->runQueryCallback($query, $bindings, $isReading ? $this->readOnly($callback) : $callback);
            } catch (QueryException $again) {
                if ($isReading && SqlState::isIn($again, SqlState::READ_ONLY)) {
                    throw $this->failure($e, Verdict::InDoubt);
                }
                $e = $again;
            }
        }
    }

    /** What an error outside of a transaction means for the statement. A connection that is of no use has been given up. */
    private function judge(QueryException $e): Verdict
    {
        $cause = $e->getPrevious() ?? $e;
        if ($this->phase === Phase::Connect) {
            return $cause instanceof \HaDsn\ConfigException ? Verdict::Unrelated : $this->verdict($cause, Phase::Connect);
        }
        $pdo = $this->role === Role::Reader && $this->readPdo instanceof \PDO ? $this->readPdo : $this->pdo;
        if (!$pdo instanceof \PDO) {
            return Verdict::Unrelated;
        }
        $handle = $this->handle($pdo);
        if ($handle->isLost()) {
            $verdict = $this->verdict($cause, $this->isByHand && !self::mayCommit((string) $e->getSql()) ? Phase::InTransaction : Phase::Autocommit);
            $this->drop($pdo);

            return $verdict;
        }
        // A write on a replica is a mistake of the application's, which a repeat does not mend.
        if ($pdo !== $this->pdo || $this->ownRole() === Role::Reader || $this->isByHand || !SqlState::isIn($e, SqlState::READ_ONLY)) {
            return Verdict::Unrelated;
        }
        try {
            $isStandby = $handle->isStandby();
        } catch (\PDOException) {
            $isStandby = true;
        }
        if (!$isStandby) {
            return Verdict::Unrelated;
        }
        $this->drop($pdo);

        return $this->verdict($cause, Phase::Autocommit);
    }

    private static function mayCommit(string $query): bool
    {
        return preg_match(self::COMMIT, $query) === 1;
    }

    /** What runs a statement of which nobody knows whether it only reads. */
    private function readOnly(\Closure $callback): \Closure
    {
        return function ($query, $bindings) use ($callback): mixed {
            $pdo = $this->role === Role::Reader ? $this->getReadPdo() : $this->getPdo();
            $pdo->exec('BEGIN READ ONLY');
            $this->isRepeating = true;
            try {
                return $callback($query, $bindings);
            } finally {
                $this->isRepeating = false;
                if ($this->handle($pdo)->isInTransaction()) {
                    // What it has set in the session is to last. After an error this is a ROLLBACK.
                    $pdo->exec('COMMIT');
                }
            }
        };
    }

    private function failure(QueryException $e, Verdict $verdict): FailoverException
    {
        if ($verdict === Verdict::InDoubt) {
            // Who looks what has become of it is not to look at a replica that is behind.
            $this->recordsHaveBeenModified();
        }

        return FailoverException::of($e, $verdict);
    }
}
