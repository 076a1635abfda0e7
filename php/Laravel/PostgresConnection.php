<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\CommitUnknownException;
use HaDsn\Connection\Handle;
use HaDsn\Connection\Patience;
use HaDsn\Connection\Role;
use HaDsn\Connection\SqlState;
use HaDsn\NoLeaderException;
use HaDsn\Phase;
use HaDsn\TransactionException;
use HaDsn\Verdict;
use Illuminate\Database\PostgresConnection as LaravelConnection;
use Illuminate\Database\QueryException;

/**
 * Laravel's connection to PostgreSQL, for those that ask for hadsn: it knows what a failover does to a statement.
 *
 *  - A connection that broke, or whose server changed its role, is replaced before the next statement. Once a second, one that is kept is
 *    asked for a sign of life first.
 *  - A statement that provably did nothing runs again on the new leader. So does one that only reads: its repeat runs in a READ ONLY
 *    transaction, and what the server refuses there is not repeated. A write in doubt is a {@see FailoverException}.
 *  - `transaction()` runs work that was lost before COMMIT again, within `failover_timeout`. A COMMIT without an answer is a
 *    {@see CommitUnknownException}, here and in `commit()`.
 *
 * It leaves the framework's signatures as they are, from Laravel 8 to 13.
 */
final class PostgresConnection extends LaravelConnection
{
    /** One statement that may be one that only reads. */
    private const QUESTION = '/^[\s(]*(?:select|with|values|table|show|explain)\b[^;]*;?\s*$/Di';

    private readonly string $cluster;

    /** Makes a connection to read from; null: there is no `read` in the configuration. */
    private ?\Closure $readers = null;

    /** What the next replica has to show. */
    private ?string $after = null;

    private ?Handle $writer = null;
    private ?Handle $reader = null;

    /** Which of the two the last statement was for. */
    private Role $role = Role::Writer;

    /** Connect: the connection for the last statement has not come about. */
    private Phase $phase = Phase::Connect;

    /** Whether the last statement ran in a transaction that Laravel knows nothing of. */
    private bool $isByHand = false;

    /** Whether a statement that may only read is being repeated. */
    private bool $isRepeating = false;

    /** A connection that is to be given up with its transaction: its server does not lead any more. */
    private ?\PDO $deposed = null;

    /**
     * @param \PDO|\Closure        $pdo
     * @param string               $database
     * @param string               $tablePrefix
     * @param array<string, mixed> $config
     *
     * @internal
     */
    public function __construct(
        $pdo,
        $database,
        $tablePrefix,
        #[\SensitiveParameter]
        array $config,
        private readonly Settings $settings,
        private readonly Purpose $purpose,
    ) {
        $this->cluster = $settings->cluster;
        parent::__construct($pdo, $database, $tablePrefix, $config);
    }

    /**
     * A token for what was written so far, to be given to {@see readAfter()}, here or in another process.
     *
     * @throws TransactionException if a transaction is open: nobody else sees yet what it writes
     * @throws \PDOException        if the leader can't be asked
     */
    public function position(): string
    {
        if ($this->transactions > 0) {
            throw TransactionException::position();
        }
        $pdo = $this->getPdo();
        try {
            return \HaDsn::position($pdo);
        } catch (\PDOException $e) {
            \HaDsn::verdict($e, Phase::InTransaction, $this->cluster);
            throw $e;
        }
    }

    /** From now on, replicas are read from only if they show what was written before a position. Null: any of them. */
    public function readAfter(?string $token): void
    {
        $this->after = $token;
    }

    /** Gives up a transaction that somebody has left open, if its connection is gone. Long processes call it before new work. */
    public function recover(): void
    {
        if ($this->transactions === 0 || !$this->pdo instanceof \PDO) {
            return;
        }
        try {
            $this->handle($this->pdo)->isStandby();
        } catch (\PDOException $e) {
            if ($this->handle($this->pdo)->isLost()) {
                $this->giveUp($e, Phase::InTransaction);
            }
        }
    }

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
            throw match (true) {
                $e->getPrevious() instanceof TransactionException => $e->getPrevious(),
                $this->isLost() || $e->getPrevious() instanceof NoLeaderException => FailoverException::of($e, Verdict::Retry),
                default => $e,
            };
        }
        $refusal = $this->settle();
        if ($refusal !== null) {
            throw $refusal;
        }
    }

    public function getPdo()
    {
        $this->role = Role::Writer;
        if ($this->transactions === 0 && $this->pdo instanceof \PDO && !$this->isUsable($this->pdo, $this->ownRole())) {
            $this->setPdo(null);
        }
        if ($this->pdo === null) {
            $this->reconnect();
        }

        return $this->resolve($this->pdo, parent::getPdo(...));
    }

    public function getReadPdo()
    {
        if ($this->transactions > 0 || $this->readWriteType === 'write' || $this->readOnWriteConnection
            || ($this->recordsModified && $this->getConfig('sticky'))) {
            return $this->getPdo();
        }
        $this->role = Role::Reader;
        if ($this->readPdo instanceof \PDO && $this->readers !== null && !$this->isUsable($this->readPdo, Role::Reader)) {
            $this->drop($this->readPdo);
        }

        return $this->resolve($this->readPdo, parent::getReadPdo(...));
    }

    public function setPdo($pdo)
    {
        // A connection ends when nobody holds it.
        $this->writer = $this->deposed = null;

        return parent::setPdo($pdo);
    }

    public function setReadPdo($pdo)
    {
        $this->reader = null;
        if ($pdo instanceof \Closure) {
            $pdo = $this->readers = fn(): \PDO => $this->purpose->reading($this->after, $pdo);
        }

        return parent::setReadPdo($pdo);
    }

    protected function handleQueryException(QueryException $e, $query, $bindings, \Closure $callback)
    {
        if ($this->transactions >= 1) {
            $verdict = $this->isLost() ? $this->verdict($e, Phase::InTransaction) : Verdict::Unrelated;
            throw $verdict === Verdict::Unrelated ? $e : FailoverException::of($e, $verdict);
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
                throw FailoverException::of($e, $isReading ? Verdict::InDoubt : $verdict);
            }
            try {
                return $this->runQueryCallback($query, $bindings, $isReading ? $this->readOnly($callback) : $callback);
            } catch (QueryException $again) {
                if ($isReading && SqlState::isIn($again, SqlState::READ_ONLY)) {
                    throw FailoverException::of($e, Verdict::InDoubt);
                }
                $e = $again;
            }
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
            parent::performRollBack($toLevel);
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

    protected function causedByLostConnection(\Throwable $e)
    {
        return $this->verdict($e, Phase::Autocommit) !== Verdict::Unrelated;
    }

    private function runTransaction(\Closure $callback, int $attempts): mixed
    {
        $patience = new Patience($this->cluster);
        $attempt = 1;
        while (true) {
            $this->beginTransaction();
            $pdo = $this->pdo;
            try {
                $result = $callback($this);
                if ($this->pdo !== $pdo) {
                    throw TransactionException::ended();
                }
                if ($this->transactions === 1) {
                    $this->check();
                }
            } catch (\Throwable $e) {
                if ($this->pdo !== $pdo) {
                    throw $e;
                }
                if ($this->isEndedByFailover($e)) {
                    if (!$patience->waitForFailover()) {
                        throw $e;
                    }
                    continue;
                }
                $this->handleTransactionException($e, $attempt++, $attempts, null);
                continue;
            }
            $refusal = $this->settle();
            if ($refusal === null) {
                return $result;
            }
            if (!$this->causedByConcurrencyError($refusal) || $attempt++ >= $attempts) {
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

            return null;
        } catch (\Throwable $e) {
            if ($this->transactions === 0) {
                throw $e;
            }
            if (!$e instanceof \PDOException || $e instanceof QueryException) {
                $this->rollBack();
                throw $e;
            }
            // Only the server can say no, and it says so with an SQLSTATE. One that goes down has said nothing.
            $verdict = $this->verdict($e, Phase::Commit);
            if (SqlState::of($e) !== null && ($verdict === Verdict::Unrelated || !$this->isLost())) {
                $this->forgetTransaction();

                return $e;
            }
            $this->giveUp($e, Phase::Commit);
            throw new CommitUnknownException(previous: $e);
        }
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
        $handle = $this->handle($this->pdo);
        $this->rollBack(0);
        try {
            $isStandby = $this->pdo === null || $handle->isStandby();
        } catch (\PDOException) {
            $isStandby = true;
        }
        if ($isStandby) {
            $this->setPdo(null);
            $this->verdict($e, Phase::InTransaction);
        }

        return $isStandby;
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
            $verdict = $this->verdict($cause, $this->isByHand ? Phase::InTransaction : Phase::Autocommit);
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
                if (!$this->handle($pdo)->isLost() && $pdo->inTransaction()) {
                    $pdo->exec('ROLLBACK');
                }
            }
        };
    }

    /** @param callable(): \PDO $get */
    private function resolve(\PDO|\Closure|null $known, callable $get): \PDO
    {
        $this->isByHand = false;
        $this->phase = $known instanceof \Closure ? Phase::Connect : Phase::Autocommit;
        $pdo = $get();
        $this->phase = Phase::Autocommit;
        $this->isByHand = $this->transactions === 0 && !$this->isRepeating && $this->handle($pdo)->isInTransaction();

        return $pdo;
    }

    private function isUsable(\PDO $pdo, Role $role): bool
    {
        $handle = $this->handle($pdo);
        if ($handle->isLost()) {
            // Whoever saw it break has not told hadsn.
            \HaDsn::invalidate($this->cluster);

            return false;
        }
        if ($handle->isInTransaction()) {
            return true;
        }
        try {
            if (!$handle->isFresh() && !$handle->stillFits($role)) {
                \HaDsn::invalidate($this->cluster);

                return false;
            }

            return $role === Role::Writer || $this->after === null || $handle->hasReplayed($this->after);
        } catch (\PDOException $e) {
            $this->verdict($e, Phase::Connect);

            return false;
        }
    }

    /** What the main connection is for: `pgsql::read` has a replica there. */
    private function ownRole(): Role
    {
        return $this->readWriteType === 'read' || $this->settings->role === Role::Reader ? Role::Reader : Role::Writer;
    }

    private function isLost(): bool
    {
        return $this->pdo instanceof \PDO && $this->handle($this->pdo)->isLost();
    }

    private function handle(\PDO $pdo): Handle
    {
        if ($pdo === $this->pdo) {
            return $this->writer = $this->writer?->pdo === $pdo ? $this->writer : new Handle($pdo);
        }

        return $this->reader = $this->reader?->pdo === $pdo ? $this->reader : new Handle($pdo, $this->after);
    }

    /** Gives up the connection to the leader, and its transaction. */
    private function giveUp(\Throwable $because, Phase $phase): Verdict
    {
        $verdict = $this->verdict($because, $phase);
        $this->setPdo(null);
        $this->forgetTransaction();

        return $verdict;
    }

    /** The server knows nothing of the transaction any more. */
    private function forgetTransaction(): void
    {
        $this->transactions = 0;
        $this->transactionsManager?->rollback($this->getName(), 0);
        $this->fireConnectionEvent('rollingBack');
    }

    private function drop(\PDO $pdo): void
    {
        if ($pdo === $this->pdo) {
            $this->setPdo(null);
        }
        if ($pdo === $this->readPdo) {
            $this->reader = null;
            $this->readPdo = $this->readers;
        }
    }

    private function verdict(\Throwable $e, Phase $phase): Verdict
    {
        return \HaDsn::verdict($e, $phase, $this->cluster);
    }
}
