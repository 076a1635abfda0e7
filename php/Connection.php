<?php

declare(strict_types=1);

namespace HaDsn;

use HaDsn\Connection\Handle;
use HaDsn\Connection\Judgement;
use HaDsn\Connection\Patience;
use HaDsn\Connection\Role;
use HaDsn\Connection\SqlState;
use Psr\Log\LoggerInterface;

/**
 * A handle on a cluster that outlives its connections: it connects when it is first used, again after a failover, and
 * repeats work where nothing can have come of the first attempt.
 *
 *     $db = new HaDsn\Connection('app', 'secret');
 *
 *     $db->transaction(function (PDO $pdo) use ($from, $to): void {
 *         $pdo->prepare('UPDATE account SET balance = balance - 1 WHERE id = ?')->execute([$from]);
 *         $pdo->prepare('UPDATE account SET balance = balance + 1 WHERE id = ?')->execute([$to]);
 *     });
 *     $name = $db->run(fn (PDO $pdo) => $pdo->query('SELECT name FROM shop')->fetchColumn(), 'reader');
 *
 * It keeps one connection to the leader and one to a replica. One that broke, or whose server changed its role, is
 * replaced at the next call: do not keep the PDO objects, or statements that were prepared on them. Once a second, a
 * connection is asked for a sign of life before it is handed out. `SET`, `LISTEN`, temporary tables and advisory locks
 * do not survive a failover.
 *
 * Work may run more than once. What it does besides its statements (mails, files, other databases, captured variables) must
 * bear that. docs/failover.md tells what is repeated, what is not, and why.
 */
final class Connection
{
    private readonly Secret $password;

    /** @var array<value-of<Role>, Handle> */
    private array $handles = [];

    /** @var array<value-of<Role>, true> whose last connection was given up */
    private array $missing = [];

    /** The connection that {@see transaction()} runs on. */
    private ?Handle $open = null;

    /** How many savepoints are set in it. */
    private int $savepoints = 0;

    private bool $hasWritten = false;

    /**
     * Connects to nothing yet.
     *
     * @param string|null            $username the role to log in as; the source's user without one
     * @param string|null            $password its password; the source's without one
     * @param array<int, mixed>|null $options  PDO's; `PDO::ATTR_ERRMODE` can only be `PDO::ERRMODE_EXCEPTION`, which it is
     *                                         by itself
     * @param string                 $cluster  the cluster that is meant
     * @param LoggerInterface|null   $logger   is told of lost and new connections, of repeats and of doubt, with the
     *                                         context `cluster`, `role`, `attempt` and `exception`
     *
     * @throws ConfigException if the options turn exceptions off
     */
    public function __construct(
        private readonly ?string $username = null,
        #[\SensitiveParameter]
        ?string $password = null,
        private readonly ?array $options = null,
        private readonly string $cluster = 'default',
        private readonly ?LoggerInterface $logger = null,
    ) {
        $this->password = new Secret($password);
        if (($options[\PDO::ATTR_ERRMODE] ?? \PDO::ERRMODE_EXCEPTION) !== \PDO::ERRMODE_EXCEPTION) {
            throw new ConfigException('option PDO::ATTR_ERRMODE: expected PDO::ERRMODE_EXCEPTION: without exceptions a failover looks like success');
        }
    }

    /** Two that share their connections would end each other's transactions. */
    private function __clone() {}

    /**
     * The connection to the leader. Inside {@see transaction()} it is the one that the work was given.
     *
     * Nothing that is done on it directly is repeated.
     *
     * @throws ConfigException    if the cluster is not configured, or wrongly
     * @throws DiscoveryException if no source gave a usable answer, and none is young enough
     * @throws NoLeaderException  if there is no leader to connect to within `failover_timeout`
     * @throws \PDOException      if the server refuses for good: password, database, TLS
     */
    public function writer(): \PDO
    {
        return ($this->open ?? $this->handle(Role::Writer))->pdo;
    }

    /**
     * The connection to a replica, or to the leader where no replica is left (unless the option `reader_fallback` is `error`).
     *
     * @param string|null $after a token of {@see position()}: what was written before it is visible
     *
     * @throws ConfigException    as {@see writer()}, or if `$after` is no token
     * @throws DiscoveryException as {@see writer()}
     * @throws NoReplicaException if there is no replica to connect to within `failover_timeout`
     * @throws NoLeaderException  if there is no leader to fall back to either
     * @throws \PDOException      as {@see writer()}
     */
    public function reader(?string $after = null): \PDO
    {
        return $this->handle(Role::Reader, $after)->pdo;
    }

    /**
     * Calls `$work` with a connection, and again on a new one if a failover stopped it and it provably has done nothing
     * that lasts. Returns what it returns.
     *
     *  - `reader`: repeated when the connection to a replica breaks. Nothing done on a replica lasts.
     *  - `writer`: repeated when the server turns out to be a replica by now (25006). A connection to the leader that
     *    breaks is not: what was done outside of a transaction may have been committed, and the exception is thrown as it is.
     *    Use {@see transaction()} for what should be repeated then, and for work of more than one statement.
     *
     * Repeats begin within `failover_timeout` after the first failure. A transaction that the work left open when it
     * threw is rolled back. Inside {@see transaction()}, or while a transaction is open that somebody began by hand,
     * `writer` just calls the work: it is part of that.
     *
     * @template T
     *
     * @param callable(\PDO): T $work
     * @param string            $role `writer` or `reader`
     *
     * @return T
     *
     * @throws ConfigException if the role is another one; otherwise as {@see writer()} and {@see reader()}
     * @throws \Throwable      what the work throws
     */
    public function run(callable $work, string $role = 'writer'): mixed
    {
        $role = Role::tryFrom($role) ?? throw new ConfigException("role \"$role\": expected writer or reader");
        if ($role === Role::Writer && $this->open !== null) {
            return $work($this->open->pdo);
        }

        return $this->attempts($role, $work);
    }

    /**
     * Calls `$work` in a transaction on the leader and commits. Returns what it returns.
     *
     *  - A connection that breaks before COMMIT was sent: everything again on the new leader, within `failover_timeout`.
     *  - COMMIT was sent and no answer came: {@see CommitUnknownException}. Nothing is repeated then.
     *  - A serialization failure or a deadlock (40001, 40P01), also at COMMIT: again, up to ten times.
     *  - Anything else that the work throws, or with which the server refuses the COMMIT: rolled back and thrown as it is.
     *
     * A call inside of another one is a savepoint: if its work throws, what it did is undone, and the outer work may catch
     * that and go on. Failovers and conflicts are for the outermost, which begins anew.
     *
     * The work may begin with `SET TRANSACTION …`. It must leave BEGIN, COMMIT and ROLLBACK alone, and let the exception
     * of a failed statement through.
     *
     * @template T
     *
     * @param callable(\PDO): T $work
     *
     * @return T
     *
     * @throws CommitUnknownException if it may have been committed, and may not
     * @throws TransactionException   if the work ended the transaction, or hid that a statement failed; or if somebody else
     *                                has begun one on this connection
     * @throws \Throwable             what the work throws; otherwise as {@see writer()}
     */
    public function transaction(callable $work): mixed
    {
        if ($this->open !== null) {
            return $this->savepoint($this->open, $work);
        }
        $patience = new Patience($this->cluster);
        while (true) {
            $handle = $this->handle(Role::Writer);
            if ($handle->isInTransaction()) {
                throw TransactionException::open();
            }
            $this->open = $handle;
            try {
                $handle->begin();
                $result = $work($handle->pdo);
                $handle->check();
            } catch (\Throwable $error) {
                $verdict = $this->judge($error, $handle, Role::Writer, Phase::InTransaction);
                if (!$this->mayRepeat($verdict, $error, Role::Writer, $patience) && !$this->mayTryAgain($error, $patience)) {
                    throw $error;
                }
                continue;
            } finally {
                $this->open = null;
            }
            try {
                $this->commit($handle, $patience);

                return $result;
            } catch (\PDOException $refusal) {
                if (!$this->mayTryAgain($refusal, $patience)) {
                    throw $refusal;
                }
            }
        }
    }

    /**
     * A token for what was written so far, to be given to {@see reader()}, here or in another process. Null if this object has
     * not been asked for the leader yet: there is nothing to wait for.
     *
     * @throws TransactionException if a transaction is open: nobody else sees yet what it writes
     * @throws \PDOException        if the leader can't be asked; otherwise as {@see writer()}
     */
    public function position(): ?string
    {
        $writer = $this->handles[Role::Writer->value] ?? null;
        if ($this->open !== null || $writer?->isInTransaction()) {
            throw TransactionException::position();
        }
        if (!$this->hasWritten) {
            return null;
        }

        // It only looks: a question whose answer was lost can be asked again.
        return $this->attempts(Role::Writer, \HaDsn::position(...), Phase::InTransaction);
    }

    /**
     * Calls the work until nothing speaks for another time.
     *
     * @template T
     *
     * @param callable(\PDO): T $work
     * @param Phase|null        $phase what the work is in; null: what the role says
     *
     * @return T
     */
    private function attempts(Role $role, callable $work, ?Phase $phase = null): mixed
    {
        $patience = new Patience($this->cluster);
        while (true) {
            $handle = $this->handle($role);
            if ($handle->isInTransaction()) {
                // Begun by hand: what it did before can't be repeated here.
                return $work($handle->pdo);
            }
            $current = Phase::Connect;
            try {
                $current = $phase ?? ($role === Role::Reader && $handle->isKnownStandby() ? Phase::InTransaction : Phase::Autocommit);

                return $work($handle->pdo);
            } catch (\Throwable $error) {
                $verdict = $this->judge($error, $handle, $role, $current);
                if (!$this->mayRepeat($verdict, $error, $role, $patience)) {
                    throw $error;
                }
            }
        }
    }

    /**
     * A transaction within a transaction.
     *
     * @template T
     *
     * @param callable(\PDO): T $work
     *
     * @return T
     */
    private function savepoint(Handle $handle, callable $work): mixed
    {
        $name = 'hadsn_' . ++$this->savepoints;
        try {
            $handle->setSavepoint($name);
            try {
                $result = $work($handle->pdo);
                $handle->releaseSavepoint($name);

                return $result;
            } catch (\Throwable $error) {
                // With the connection, everything is gone; the outermost sees that.
                if ($handle->isInTransaction()) {
                    $handle->rollBackTo($name, $error);
                }
                throw $error;
            }
        } finally {
            --$this->savepoints;
        }
    }

    /**
     * Ends a transaction. The only place where a commit is settled: it is done when this returns, and was not when a
     * PDOException is thrown.
     *
     * @throws \PDOException          if the server has refused it
     * @throws CommitUnknownException if nobody knows
     */
    private function commit(Handle $handle, Patience $patience): void
    {
        try {
            $handle->commit();
        } catch (\PDOException $error) {
            $verdict = \HaDsn::verdict($error, Phase::Commit, $this->cluster);
            if ($handle->isRefusal($error, $verdict)) {
                throw $error;
            }
            $this->drop($handle, Role::Writer, $error);
            $this->logger?->error('hadsn: cluster {cluster}: no answer to COMMIT: the transaction may have been committed', $this->context(Role::Writer, $error, $patience->attempt()));
            throw new CommitUnknownException(previous: $error);
        }
    }

    /** What an error that came out of work means for it. The connection is clean afterwards, or given up. */
    private function judge(\Throwable $error, Handle $handle, Role $role, Phase $phase): Verdict
    {
        $judgement = Judgement::of($error, $handle, $role, $phase, $this->cluster);
        if ($judgement->end !== null) {
            $this->drop($handle, $role, $judgement->end);
        }
        if ($judgement->verdict === Verdict::InDoubt) {
            $this->logger?->error('hadsn: cluster {cluster}: the connection broke while work was under way: it may have been done', $this->context($role, $error));
        }

        return $judgement->verdict;
    }

    /** Whether a failover lets the work run again; if so, it has waited. */
    private function mayRepeat(Verdict $verdict, \Throwable $error, Role $role, Patience $patience): bool
    {
        if ($verdict !== Verdict::Retry || !$patience->waitForFailover()) {
            return false;
        }
        $this->logger?->warning('hadsn: cluster {cluster}: a failover ended work of the {role}, running it again', $this->context($role, $error, $patience->attempt()));

        return true;
    }

    /** Whether a conflict with another transaction lets the work run again; if so, it has waited. */
    private function mayTryAgain(\Throwable $error, Patience $patience): bool
    {
        if (!SqlState::isIn($error, SqlState::SERIALIZATION_FAILURE, SqlState::DEADLOCK) || !$patience->waitForOthers()) {
            return false;
        }
        $this->logger?->warning('hadsn: cluster {cluster}: a conflict ended a transaction, running it again', $this->context(Role::Writer, $error, $patience->attempt()));

        return true;
    }

    private function handle(Role $role, ?string $after = null): Handle
    {
        $handle = $this->handles[$role->value] ?? null;
        if ($handle === null || !$this->isUsable($handle, $role, $after)) {
            $handle = $this->connect($role, $after);
        }
        $this->hasWritten = $this->hasWritten || $role === Role::Writer;

        return $handle;
    }

    /** Whether a connection is still what is wanted; if not, it has been given up. */
    private function isUsable(Handle $handle, Role $role, ?string $after): bool
    {
        if ($handle->isLost()) {
            // Whoever saw it break has not told hadsn.
            \HaDsn::invalidate($this->cluster);
            $this->drop($handle, $role);

            return false;
        }
        try {
            if (!$handle->isInTransaction() && !$handle->isFresh() && !$handle->stillFits($role)) {
                \HaDsn::invalidate($this->cluster);
                $this->drop($handle, $role);

                return false;
            }

            return $after === null || $handle->hasReplayed($after);
        } catch (\PDOException $error) {
            \HaDsn::verdict($error, Phase::Connect, $this->cluster);
            $this->drop($handle, $role, $error);

            return false;
        }
    }

    private function connect(Role $role, ?string $after): Handle
    {
        /** @var string|null $password */
        $password = $this->password->value();
        $pdo = \HaDsn::connect($this->username, $password, $this->options, $role->value, $this->cluster, $after);
        $handle = new Handle($pdo, $after);
        $this->handles[$role->value] = $handle;
        if (isset($this->missing[$role->value])) {
            unset($this->missing[$role->value]);
            $this->logger?->notice('hadsn: cluster {cluster}: connected to a {role} again', $this->context($role));
        }

        return $handle;
    }

    /** Gives a connection up. */
    private function drop(Handle $handle, Role $role, ?\Throwable $because = null): void
    {
        if (($this->handles[$role->value] ?? null) !== $handle) {
            return;
        }
        unset($this->handles[$role->value]);
        $this->missing[$role->value] = true;
        $this->logger?->notice('hadsn: cluster {cluster}: the connection to the {role} is given up', $this->context($role, $because));
    }

    /** @return array<string, mixed> */
    private function context(Role $role, ?\Throwable $error = null, int $attempt = 1): array
    {
        $context = ['cluster' => $this->cluster, 'role' => $role->value, 'attempt' => $attempt];

        return $error === null ? $context : $context + ['exception' => $error];
    }
}
