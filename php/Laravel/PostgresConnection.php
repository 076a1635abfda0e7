<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\CommitUnknownException;
use HaDsn\Connection\Patience;
use HaDsn\Connection\Role;
use HaDsn\Phase;
use HaDsn\TransactionException;
use HaDsn\Verdict;
use Illuminate\Database\PostgresConnection as LaravelConnection;

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
    use Concerns\ChoosesServers;
    use Concerns\RepeatsStatements;
    use Concerns\RunsTransactions;

    /** What may commit. Here since traits can't have constants before PHP 8.2. */
    private const COMMIT = '/(?:^|;)\s*(?:commit|prepare\s+transaction)\b|^\s*end\b/i';

    /** One statement that may be one that only reads. */
    private const QUESTION = '/^[\s(]*(?:select|with|values|table|show|explain)\b[^;]*;?\s*$/Di';

    private readonly string $cluster;

    /**
     * @param \PDO|\Closure $pdo
     * @param string        $database
     * @param string        $tablePrefix
     * @param array<mixed>  $config
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
        $patience = new Patience($this->cluster);
        while (true) {
            $pdo = $this->getPdo();
            if ($this->transactions > 0 || $this->isByHand) {
                throw TransactionException::position();
            }
            try {
                return \HaDsn::position($pdo);
            } catch (\PDOException $e) {
                // It only looks: a question whose answer was lost can be asked again.
                if ($this->verdict($e, Phase::InTransaction) !== Verdict::Retry || !$patience->waitForFailover()) {
                    throw $e;
                }
            }
        }
    }

    /**
     * As {@see position()}, from the connection as it is: nobody waits for a leader. Null: it can't be had like that.
     *
     * @internal
     */
    public function positionNow(): ?string
    {
        if (!$this->pdo instanceof \PDO || $this->ownRole() === Role::Reader || $this->transactions > 0 || $this->handle($this->pdo)->isInTransaction()) {
            return null;
        }
        try {
            return \HaDsn::position($this->pdo);
        } catch (\PDOException|\HaDsn\Exception) {
            return null;
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
            if ($this->isLost()) {
                $this->giveUp($e, Phase::InTransaction);
            }
        }
    }

    /**
     * While `transaction()` runs its work: the models that it has stored.
     *
     * @internal
     */
    public function storedModels(): ?StoredModels
    {
        return $this->models;
    }

    protected function causedByLostConnection(\Throwable $e)
    {
        return $this->verdict($e, Phase::Autocommit) !== Verdict::Unrelated;
    }

    private function verdict(\Throwable $e, Phase $phase): Verdict
    {
        return \HaDsn::verdict($e, $phase, $this->cluster);
    }
}
