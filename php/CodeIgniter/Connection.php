<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Exceptions\DatabaseException;
use CodeIgniter\Database\Postgre\Connection as PostgreConnection;
use HaDsn\CommitUnknownException;
use HaDsn\Phase;
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
    private static bool $hasTold = false;

    /** The cluster that is meant. */
    protected string $hadsn = 'default';

    /** `writer` or `reader`. */
    protected string $role = 'writer';

    private ?Session $session = null;

    /** The last failure. */
    private ?Failure $failure = null;

    /** Whether CodeIgniter's query() is under way. */
    private bool $isQuerying = false;

    /** What transStatus() said before the open transaction was lost; null: it was not. */
    private ?bool $statusBefore = null;

    /** @param array<string, mixed> $params the group */
    public function __construct(#[\SensitiveParameter] array $params)
    {
        // From 4.2 on CodeIgniter would connect at once if there were one.
        parent::__construct(self::isLoaded() ? ['failover' => []] + $params : $params);
    }

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
        try {
            $this->session()->open();
        } finally {
            $this->adopt();
        }
    }

    /**
     * The connection of ext-pgsql, which is made unless it is there.
     *
     * @return mixed
     */
    public function connect(bool $persistent = false)
    {
        if (!self::isLoaded()) {
            return parent::connect($persistent);
        }
        if ($persistent) {
            throw Dialer::persistent();
        }
        $this->initialize();

        return $this->connID;
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
        $this->session()->check();
        $this->initialize();
    }

    /**
     * Runs a statement and gives it to those who listen.
     *
     * @param mixed $binds
     */
    public function query(string $sql, $binds = null, bool $setEscapeFlags = true, string $queryClass = '')
    {
        $isInside = $this->isQuerying;
        $this->isQuerying = true;
        try {
            // The class that stands for none given was another one before 4.1.3.
            $result = parent::query(...func_get_args());
        } finally {
            $this->isQuerying = $isInside;
        }
        if ($result === false) {
            // 4.2 catches every exception in there, and without DBDebug it tells nobody.
            $this->session?->throwIfLost();
        }

        return $result;
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
        return $this->session()->deallocate($name);
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
     * The SQLSTATE and the text of the error of the last statement, if it failed.
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
        if (!self::isLoaded()) {
            parent::_close();

            return;
        }
        $this->session()->close($this->transDepth > 0);
        $this->adopt();
    }

    /** For CodeIgniter's ping(), which came after 4.6: pg_ping() would connect again to where the leader was. */
    protected function _ping(): bool
    {
        return self::isLoaded() ? $this->session()->isAlive() : pg_ping($this->connID);
    }

    protected function _transBegin(): bool
    {
        if (!self::isLoaded()) {
            return parent::_transBegin();
        }
        // A BEGIN whose answer was lost has done nothing.
        if ($this->perform(static fn(Link $link): PgResult => $link->query('BEGIN'), Phase::InTransaction) === false) {
            // Who does not look at what transStart() returns would go on without a transaction.
            throw $this->exception($this->failure);
        }

        return true;
    }

    protected function _transCommit(): bool
    {
        if (!self::isLoaded()) {
            return parent::_transCommit();
        }
        try {
            $this->session()->commit($this->failure ?? Failure::local('nothing was committed: a statement of the transaction has failed'));
        } catch (\Throwable $error) {
            $this->transDepth = 0;
            $this->failure = self::failureOf($error) ?? $this->failure;
            throw $error instanceof Failure ? $this->exception($error) : $error;
        } finally {
            $this->adopt();
        }

        return true;
    }

    protected function _transRollback(): bool
    {
        if (!self::isLoaded()) {
            return parent::_transRollback();
        }
        $this->session()->rollBack();
        $this->transStatus = $this->statusBefore ?? $this->transStatus;
        $this->statusBefore = null;
        $this->adopt();

        return true;
    }

    /**
     * Does something on the connection, and reports a failure the way CodeIgniter does.
     *
     * @template T
     *
     * @param \Closure(Link): T $work
     * @param Phase|null        $phase what it is in; null: what the connection says
     *
     * @return T|false
     *
     * @throws TransactionLostException
     */
    private function perform(\Closure $work, ?Phase $phase = null): mixed
    {
        try {
            $result = $this->session()->run($work, $this->transDepth > 0, $phase);
            $this->failure = null;

            return $result;
        } catch (Failure $failure) {
            return $this->fail($failure);
        } catch (TransactionLostException $lost) {
            $this->failure = self::failureOf($lost);
            throw $lost;
        } finally {
            $this->adopt();
        }
    }

    /** Takes over what has become of the connection, for CodeIgniter and for the application. */
    private function adopt(): void
    {
        $this->connID = $this->session->handle() ?? false;
        $this->connectTime = $this->session->connectTime;
        $this->connectDuration = $this->session->connectDuration;
        if ($this->statusBefore === null && $this->session->isLost()) {
            $this->statusBefore = $this->transStatus;
            $this->transStatus = false;
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
            $this->session?->throwIfLost();
        } catch (TransactionLostException $lost) {
            // With DBDebug 4.2's query() comes here by itself, and the application's statements are still to come.
            if (!$this->isQuerying) {
                $this->transRollback();
            }
            throw $lost;
        }
    }

    /** @return false */
    private function fail(Failure $failure): bool
    {
        $this->failure = $failure;
        if ($this->transDepth > 0) {
            $this->transStatus = false;
        }
        log_message('error', $failure->getMessage());
        if ($this->DBDebug) {
            throw $this->exception($failure);
        }

        return false;
    }

    /** What CodeIgniter throws for it: until 4.2 what its handler of warnings made. */
    private function exception(Failure $failure): \Throwable
    {
        return method_exists($this, 'transException')
            ? new DatabaseException($failure->getMessage(), 0, $failure)
            : new \ErrorException($failure->getMessage(), 0, E_WARNING, __FILE__, __LINE__, $failure);
    }

    private static function failureOf(\Throwable $error): ?Failure
    {
        $failure = $error instanceof Failure ? $error : $error->getPrevious();

        return $failure instanceof Failure ? $failure : null;
    }

    private function session(): Session
    {
        $dialer = new Dialer(
            $this->hadsn,
            $this->role,
            [
                'user' => $this->username,
                'password' => $this->password,
                'dbname' => $this->database,
                'sslmode' => $this->sslmode ?? '',
                'options' => $this->options ?? '',
                'connect_timeout' => $this->connect_timeout ?? '',
            ],
            (string) $this->charset,
            (string) $this->schema,
            (bool) $this->pConnect,
        );
        $this->session ??= new Session($this->hadsn, $this->role, $dialer);
        $this->session->dialer = $dialer;

        return $this->session;
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
