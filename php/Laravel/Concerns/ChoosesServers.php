<?php

declare(strict_types=1);

namespace HaDsn\Laravel\Concerns;

use HaDsn\Connection\Handle;
use HaDsn\Connection\Role;
use HaDsn\Phase;

/**
 * The connections to the leader and to a replica: each is replaced before the next statement if it is of no use any more.
 *
 * @internal
 */
trait ChoosesServers
{
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

    /** @return \PDO */
    public function getPdo()
    {
        $this->role = Role::Writer;
        if ($this->transactions === 0 && $this->pdo instanceof \PDO && !$this->isUsable($this->pdo, $this->ownRole())) {
            $this->setPdo(null);
        }
        if ($this->pdo === null) {
            $this->phase = Phase::Connect;
            $this->reconnect();
        }

        return $this->resolve($this->pdo, parent::getPdo(...));
    }

    /** @return \PDO */
    public function getReadPdo()
    {
        if ($this->transactions > 0 || $this->readOnWriteConnection || !\in_array($this->readWriteType, [null, 'read'], true)
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
        $isAbandoned = $this->transactions > 0;
        parent::setPdo($pdo);
        if ($isAbandoned) {
            // Else what was to happen after its COMMIT would happen after the next one.
            $this->transactionsManager?->rollback((string) $this->getName(), 0);
        }

        return $this;
    }

    public function setReadPdo($pdo)
    {
        $this->reader = null;
        if ($pdo instanceof \Closure) {
            $pdo = $this->readers = fn(): \PDO => $this->purpose->reading($this->after, $pdo);
        }

        return parent::setReadPdo($pdo);
    }

    public function reconnectIfMissingConnection()
    {
        // Laravel connects `pgsql::write` at once: that is left to the statement, to which belongs what goes wrong then.
        if ($this->readWriteType === null) {
            parent::reconnectIfMissingConnection();
        }
    }

    /** @param callable(): \PDO $get */
    private function resolve(\PDO|\Closure|null $known, callable $get): \PDO
    {
        $this->isByHand = false;
        $this->phase = $known instanceof \Closure ? Phase::Connect : Phase::Autocommit;
        $pdo = $get();
        $this->phase = Phase::Autocommit;
        $this->isByHand = $this->transactions === 0 && !$this->isRepeating && $this->handle($pdo)->isInTransaction();
        $this->isEnded = $this->transactions > 0 && ($this->isEnded || !$pdo->inTransaction());

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
            return $this->writer = $this->writer !== null && $this->writer->pdo === $pdo ? $this->writer : new Handle($pdo);
        }

        return $this->reader = $this->reader !== null && $this->reader->pdo === $pdo ? $this->reader : new Handle($pdo, $this->after);
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
}
