<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Exceptions\DatabaseException;
use CodeIgniter\Database\Postgre\Connection as PostgreConnection;
use HaDsn\CommitUnknownException;
use HaDsn\ConfigException;
use HaDsn\Connection\Patience;
use HaDsn\Phase;
use HaDsn\Verdict;
use PgSql\Result as PgResult;

/**
 * CodeIgniter's PostgreSQL connection, led to the cluster's leader (or to a replica) by hadsn: the class behind
 * `'DBDriver' => 'HaDsn\CodeIgniter'`. docs/codeigniter.md tells how to set it up.
 *
 *  - It connects when it is first used, again after a failover, and each time to where the leader is then. `hostname`, `port` and
 *    `failover` of the group are not looked at. Without the extension they are: then this is CodeIgniter's own driver.
 *  - A statement runs again only when `HaDsn::verdict()` says that it has done nothing: that it met a replica (25006), or was a
 *    read on one. Otherwise what was lost is reported as CodeIgniter reports errors.
 *  - A transaction that loses its leader before COMMIT is a {@see TransactionLostException}, thrown by every statement that is
 *    still to come and by `transComplete()`, until `transRollback()`; whatever `DBDebug` says. A COMMIT without an answer is a
 *    {@see CommitUnknownException}.
 */
final class Connection extends PostgreConnection
{
    private const READ_ONLY = '25006';

    private static bool $hasTold = false;

    /** The cluster that is meant. */
    protected string $hadsn = 'default';

    /** `writer` or `reader`. */
    protected string $role = 'writer';

    private ?Link $link = null;

    /** What has ended the open transaction before its time. */
    private TransactionLostException|Failure|null $ended = null;

    /** The last failure. */
    private ?Failure $failure = null;

    /**
     * Connects, unless it is connected.
     *
     * @return void
     *
     * @throws DatabaseException        if nothing can be connected to within `failover_timeout`; the previous one tells why
     * @throws TransactionLostException if the connection went in a transaction that has not been ended yet
     */
    public function initialize()
    {
        if (!self::isLoaded()) {
            parent::initialize();

            return;
        }
        $this->throwIfLost();
        if ($this->connID) {
            return;
        }
        $this->connectTime = microtime(true);
        try {
            $this->connID = $this->connect((bool) $this->pConnect);
        } catch (\Throwable $error) {
            log_message('error', 'Error connecting to the database: ' . $error->getMessage());
            throw new DatabaseException('Unable to connect to the database.' . PHP_EOL . $error->getMessage(), 0, $error);
        }
        $this->connectDuration = microtime(true) - $this->connectTime;
    }

    /**
     * Makes a connection; {@see initialize()} calls it.
     *
     * @return mixed
     */
    public function connect(bool $persistent = false)
    {
        if (!self::isLoaded()) {
            return parent::connect($persistent);
        }
        if ($persistent) {
            throw new ConfigException('option pConnect: expected false: a connection that is kept leads to a server that may not lead any more');
        }
        if (!in_array($this->role, ['writer', 'reader'], true)) {
            throw new ConfigException("option role \"$this->role\": expected writer or reader");
        }
        $this->link = $this->dial();

        return $this->link->handle;
    }

    /**
     * Asks for a sign of life, and replaces a connection that gives none, or whose server does not lead any more. Does
     * nothing while a transaction is open.
     *
     * @return void
     */
    public function reconnect()
    {
        if (!self::isLoaded()) {
            parent::reconnect();

            return;
        }
        if ($this->transDepth > 0) {
            return;
        }
        if ($this->link !== null && !$this->link->isInTransaction()) {
            try {
                if ($this->link->isStandby() && $this->role === 'writer') {
                    $this->giveUp(Failure::role());
                }
            } catch (Failure $failure) {
                $this->giveUp($failure);
            }
        }
        $this->initialize();
    }

    /**
     * Runs a statement.
     *
     * @return PgResult|false
     */
    public function execute(string $sql)
    {
        if (!self::isLoaded()) {
            return parent::execute($sql);
        }

        return $this->perform(static fn(Link $link): PgResult => $link->query($sql));
    }

    /** @internal for {@see PreparedQuery} */
    public function prepareStatement(string $name, string $sql): bool
    {
        return $this->perform(static function (Link $link) use ($name, $sql): bool {
            $link->prepare($name, $sql);

            return true;
        });
    }

    /**
     * A statement that was prepared on a connection that is gone is prepared again.
     *
     * @internal for {@see PreparedQuery}
     *
     * @param list<mixed> $values
     */
    public function executeStatement(string $name, string $sql, array $values): PgResult|false
    {
        return $this->perform(static function (Link $link) use ($name, $sql, $values): PgResult {
            $link->prepare($name, $sql);

            return $link->execute($name, $values);
        });
    }

    /** @internal for {@see PreparedQuery} */
    public function deallocateStatement(string $name): bool
    {
        try {
            // With its connection it is gone anyway.
            $this->link?->deallocate($name);

            return true;
        } catch (Failure) {
            return false;
        }
    }

    /**
     * Commits.
     *
     * @throws TransactionLostException if the leader went before COMMIT was sent: nothing was written
     * @throws CommitUnknownException   if COMMIT was sent and no answer came
     */
    public function transComplete(): bool
    {
        $this->endIfLost();

        return parent::transComplete();
    }

    /** As {@see transComplete()}. */
    public function transCommit(): bool
    {
        $this->endIfLost();

        return parent::transCommit();
    }

    public function getPlatform(): string
    {
        return 'Postgre';
    }

    public function callFunction(string $functionName, ...$params): bool
    {
        $function = str_starts_with($functionName, 'pg_') ? $functionName : "pg_$functionName";

        return function_exists($function) ? (bool) $function(...$params) : parent::callFunction($functionName, ...$params);
    }

    /**
     * The SQLSTATE and the text of the last error.
     *
     * @return array{code: int|string, message: string}
     */
    public function error(): array
    {
        return match (true) {
            !self::isLoaded() => parent::error(),
            $this->failure === null => ['code' => '', 'message' => ''],
            default => ['code' => $this->failure->sqlstate ?? '', 'message' => $this->failure->getMessage()],
        };
    }

    protected function _close()
    {
        if ($this->link === null) {
            parent::_close();

            return;
        }
        if ($this->transDepth > 0) {
            $this->ended ??= new TransactionLostException(previous: Failure::closed());
        }
        $this->link->close();
        $this->link = null;
    }

    /** For CodeIgniter's ping(), which came after 4.6: pg_ping() would connect again to where the leader was. */
    protected function _ping(): bool
    {
        if ($this->link === null) {
            return pg_ping($this->connID);
        }
        try {
            $this->link->query('SELECT 1');

            return true;
        } catch (Failure $failure) {
            return !$failure->isLost;
        }
    }

    protected function _transBegin(): bool
    {
        if (!self::isLoaded()) {
            return parent::_transBegin();
        }

        // A BEGIN whose answer was lost has done nothing.
        return $this->perform(static fn(Link $link): PgResult => $link->query('BEGIN'), Phase::InTransaction) !== false;
    }

    protected function _transCommit(): bool
    {
        if (!self::isLoaded()) {
            return parent::_transCommit();
        }
        $link = $this->link;
        if ($this->ended !== null || $link === null || $link->isInFailedTransaction()) {
            // The server would answer COMMIT with a ROLLBACK, and without an error.
            $this->_transRollback();
            $this->transDepth = 0;
            throw $this->exception($this->failure ?? Failure::local('nothing was committed: a statement of the transaction has failed'));
        }
        if ($link->hasEnded()) {
            try {
                $this->lose(Failure::idle());
            } finally {
                $this->_transRollback();
                $this->transDepth = 0;
            }
        }
        try {
            $link->query('COMMIT');

            return true;
        } catch (Failure $failure) {
            $this->failure = $failure;
            $this->transDepth = 0;
            $verdict = \HaDsn::verdict($failure, Phase::Commit, $this->hadsn);
            // Only the server can say no, and it says so with an SQLSTATE. One that goes down has said nothing.
            if ($failure->sqlstate !== null && ($verdict === Verdict::Unrelated || !$failure->isLost)) {
                throw $this->exception($failure);
            }
            $this->drop($failure);
            log_message('error', "hadsn: cluster $this->hadsn: no answer to COMMIT: the transaction may have been committed");
            throw new CommitUnknownException(previous: $failure);
        }
    }

    protected function _transRollback(): bool
    {
        if (!self::isLoaded()) {
            return parent::_transRollback();
        }
        if ($this->ended instanceof TransactionLostException) {
            $this->transStatus = true;
        } elseif ($this->link?->isInTransaction()) {
            try {
                $this->link->query('ROLLBACK');
            } catch (Failure $failure) {
                // The server rolls back what it loses.
                $this->giveUp($failure);
            }
        }
        $this->ended = null;

        return true;
    }

    /**
     * Does something on the connection, and again on a new one if a failover stopped it and it has done nothing that lasts.
     *
     * @template T
     *
     * @param \Closure(Link): T $work
     * @param Phase|null        $phase what it is in; null: what the connection says
     *
     * @return T|false
     */
    private function perform(\Closure $work, ?Phase $phase = null): mixed
    {
        $patience = new Patience($this->hadsn);
        do {
            if ($this->ended instanceof Failure) {
                return $this->fail($this->ended);
            }
            $link = $this->usable();
            $isOpen = $this->transDepth > 0 || $link->isInTransaction();
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
                $this->failure = $failure;
            }
            if ($isOpen && $failure->isLost) {
                $this->lose($failure);
            }
            $mayRepeat = match (true) {
                $failure->isLost => $this->giveUp($failure, $current) === Verdict::Retry,
                $this->role === 'writer' && $failure->sqlstate === self::READ_ONLY => $this->hasMoved($link, $failure, $isOpen),
                default => false,
            };
        } while ($mayRepeat && $patience->waitForFailover());

        return $this->fail($failure);
    }

    /** The connection, which is a new one if the old one has ended. */
    private function usable(): Link
    {
        if ($this->link?->hasEnded()) {
            if ($this->transDepth > 0) {
                $this->lose(Failure::idle());
            }
            $this->giveUp(Failure::idle());
        }
        $this->initialize();

        return $this->link;
    }

    /**
     * Whether a server that refused a write has become a replica; if so, the connection is given up. An application's own
     * READ ONLY transaction gets the same refusal, and is none of hadsn's business.
     */
    private function hasMoved(Link $link, Failure $refusal, bool $isOpen): bool
    {
        try {
            if ($isOpen) {
                // In a failed transaction nothing can be asked. It is over then, and the rest of it must not run outside.
                $link->query('ROLLBACK');
            }
            if (!$link->isStandby()) {
                $this->ended = $this->transDepth > 0 ? $refusal : null;

                return false;
            }
        } catch (Failure) {
            // It has gone for good meanwhile, which comes to the same.
        }
        if ($isOpen) {
            $this->lose($refusal);
        }

        return $this->giveUp($refusal, Phase::Autocommit) === Verdict::Retry;
    }

    /**
     * Ends the open transaction with its connection.
     *
     * @throws TransactionLostException
     */
    private function lose(Failure $failure): never
    {
        $this->failure = $failure;
        $this->giveUp($failure, Phase::InTransaction);
        $lost = new TransactionLostException(previous: $failure);
        if ($this->transDepth > 0) {
            $this->ended = $lost;
            $this->transStatus = false;
        }
        log_message('error', "hadsn: cluster $this->hadsn: {$lost->getMessage()}: {$failure->getMessage()}");
        throw $lost;
    }

    /** @throws TransactionLostException if the open transaction was lost */
    private function throwIfLost(): void
    {
        if ($this->ended instanceof TransactionLostException) {
            throw new TransactionLostException(previous: $this->ended->getPrevious());
        }
    }

    /**
     * Ends a transaction that was lost, or one level of it.
     *
     * @throws TransactionLostException if it was
     */
    private function endIfLost(): void
    {
        try {
            $this->throwIfLost();
        } catch (TransactionLostException $lost) {
            $this->transRollback();
            throw $lost;
        }
    }

    /** Gives a connection up, tells hadsn why, and says what that means for what was under way. */
    private function giveUp(Failure $failure, Phase $phase = Phase::Connect): Verdict
    {
        $verdict = \HaDsn::verdict($failure, $phase, $this->hadsn);
        $this->drop($failure);

        return $verdict;
    }

    private function drop(Failure $failure): void
    {
        if ($this->link !== null) {
            log_message('warning', "hadsn: cluster $this->hadsn: the connection to the $this->role is given up: {$failure->getMessage()}");
            $this->link->close();
        }
        $this->link = null;
        $this->connID = false;
    }

    /** Reports a failure the way CodeIgniter does. */
    private function fail(Failure $failure): false
    {
        if ($this->transDepth > 0) {
            $this->transStatus = false;
        }
        log_message('error', $failure->getMessage());
        if ($this->DBDebug) {
            throw $this->exception($failure);
        }

        return false;
    }

    /** What CodeIgniter throws for it: an ErrorException as long as its own class was an Error (4.1). */
    private function exception(Failure $failure): \Exception
    {
        return is_subclass_of(DatabaseException::class, \Exception::class)
            ? new DatabaseException($failure->getMessage(), 0, $failure)
            : new \ErrorException($failure->getMessage(), 0, E_WARNING, __FILE__, __LINE__, $failure);
    }

    private function dial(): Link
    {
        $patience = new Patience($this->hadsn);
        while (true) {
            try {
                $link = Link::open(\HaDsn::conninfo($this->role, $this->hadsn) . $this->credentials(), $this->setup());
                if ($this->role === 'reader' || !$link->isKnownStandby()) {
                    return $link;
                }
                // A pooler that has not noticed.
                $link->close();
                $failure = Failure::role();
            } catch (Failure $failure) {
            }
            if (\HaDsn::verdict($failure, Phase::Connect, $this->hadsn) !== Verdict::Retry || !$patience->waitForFailover()) {
                throw $failure;
            }
        }
    }

    /** What the group says of them; the last word counts for libpq. */
    private function credentials(): string
    {
        $text = '';
        foreach (['user' => $this->username, 'password' => $this->password, 'dbname' => $this->database, 'client_encoding' => $this->charset] as $keyword => $value) {
            if ((string) $value !== '') {
                $text .= " $keyword='" . addcslashes((string) $value, "'\\") . "'";
            }
        }

        return $text;
    }

    private function setup(): string
    {
        return (string) $this->schema === '' ? '' : "SET search_path TO {$this->schema},public;";
    }

    private static function isLoaded(): bool
    {
        if (extension_loaded('hadsn')) {
            return true;
        }
        if (!self::$hasTold) {
            self::$hasTold = true;
            log_message('error', 'hadsn: the extension is not loaded: connecting to the hostname of the group, without following the leader');
        }

        return false;
    }
}
