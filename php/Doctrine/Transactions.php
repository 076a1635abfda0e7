<?php

declare(strict_types=1);

namespace HaDsn\Doctrine;

use Doctrine\DBAL\Connection;
use Doctrine\DBAL\ConnectionException as DbalConnectionException;
use Doctrine\DBAL\Connections\PrimaryReadReplicaConnection;
use Doctrine\DBAL\Exception as DbalException;
use HaDsn\CommitUnknownException;
use HaDsn\Connection\Handle;
use HaDsn\Connection\Judgement;
use HaDsn\Connection\Patience;
use HaDsn\Connection\Role;
use HaDsn\Connection\SqlState;
use HaDsn\NoLeaderException;
use HaDsn\Phase;
use HaDsn\TransactionException;
use HaDsn\Verdict;

/**
 * Transactions that a failover does not end: instead of `Connection::transactional()`, which rolls back on a connection that is gone,
 * and so hides what has happened.
 *
 *     HaDsn\Doctrine\Transactions::run($connection, function (Connection $db) use ($from, $to): void {
 *         $db->executeStatement('UPDATE account SET balance = balance - 1 WHERE id = ?', [$from]);
 *         $db->executeStatement('UPDATE account SET balance = balance + 1 WHERE id = ?', [$to]);
 *     });
 */
final class Transactions
{
    /**
     * Runs `$work` in a transaction, and returns what it returns. Lost before COMMIT, it is run again on the new leader, for
     * `failover_timeout` at most: what it does besides its statements must bear that. It may nest `Connection::transactional()`, and
     * must leave BEGIN, COMMIT and ROLLBACK of this transaction alone.
     *
     * Where the extension is not loaded it is `Connection::transactional()`.
     *
     * @template T
     *
     * @param Connection              $connection made with the middleware
     * @param callable(Connection): T $work
     * @param string|null             $cluster    the cluster that the connection belongs to; null: the one that it was made for
     *
     * @return T
     *
     * @throws CommitUnknownException if the answer to COMMIT was lost: it was carried out, or not
     * @throws TransactionException   if a transaction is open already, which can't be repeated from here; or if the work ended this
     *                                one, or hid that a statement failed
     * @throws DbalException          if there is no connection, or COMMIT was refused (DBAL 3 throws the driver's own exception for that)
     * @throws \Throwable             what the work throws
     */
    public static function run(Connection $connection, callable $work, ?string $cluster = null): mixed
    {
        if (!\extension_loaded('hadsn')) {
            return $connection->transactional(static fn(Connection $db): mixed => $work($db));
        }
        if (!$connection->isAutoCommit()) {
            throw TransactionException::withoutAutoCommit();
        }
        if ($connection->isTransactionActive()) {
            throw TransactionException::open();
        }
        $patience = null;
        while (true) {
            // hadsn's connecting waits for the leader by itself: what it throws is thrown.
            $handle = self::handle($connection);
            $memory = Memory::of($handle->pdo);
            $cluster ??= $memory?->cluster() ?? 'default';
            $patience ??= new Patience($cluster);
            $memory?->hold();
            try {
                self::begin($connection, $handle);
                $result = $work($connection);
                self::check($connection, $handle);
            } catch (\Throwable $error) {
                if (self::judge($error, $connection, $handle, $cluster) !== Verdict::Retry || !$patience->waitForFailover()) {
                    throw $error;
                }
                // A connection ends when nobody holds it.
                unset($handle, $error);
                continue;
            } finally {
                $memory?->release();
            }
            self::commit($connection, $handle, $cluster);

            return $result;
        }
    }

    private static function handle(Connection $connection): Handle
    {
        if ($connection instanceof PrimaryReadReplicaConnection) {
            $connection->ensureConnectedToPrimary();
        }
        $pdo = $connection->getNativeConnection();
        if (!$pdo instanceof \PDO) {
            throw new \LogicException('the connection is not one of the driver pdo_pgsql');
        }
        $handle = new Handle($pdo);
        if ($handle->isInTransaction()) {
            throw TransactionException::open();
        }

        return $handle;
    }

    private static function begin(Connection $connection, Handle $handle): void
    {
        $connection->beginTransaction();
        if ($connection->isRollbackOnly()) {
            // A mark of a transaction that was lost with its connection: only this takes it away.
            $connection->rollBack();
            $connection->beginTransaction();
        }
        $handle->mark();
    }

    /**
     * Looks whether the transaction can be committed: see {@see Handle::check()}.
     *
     * @throws TransactionException if the work has ended it, has hidden a failure, or has left a nested one open
     * @throws NoLeaderException    if the server is a replica by now
     * @throws \PDOException        if the connection is lost
     */
    private static function check(Connection $connection, Handle $handle): void
    {
        $handle->check();
        $level = $connection->getTransactionNestingLevel();
        if ($level !== 1) {
            throw $level === 0 ? TransactionException::ended() : TransactionException::unfinished();
        }
    }

    /** What an error before COMMIT means for the work. The connection is clean afterwards, or closed. */
    private static function judge(\Throwable $error, Connection $connection, Handle $handle, string $cluster): Verdict
    {
        if ($handle->isLost() && $error instanceof DbalConnectionException) {
            // DBAL finds no transaction to end, because it was lost before. That has been told to somebody who hid it.
            try {
                $handle->check();
            } catch (\Throwable $loss) {
                $error = $loss;
            }
        }
        if (!$handle->isLost()) {
            if (!$connection->isConnected() && !SqlState::isIn($error, SqlState::READ_ONLY)) {
                // DBAL has closed it, because a server that does not lead any more refused a write. That too has been told to somebody who hid it.
                $error = new NoLeaderException('transaction(): the server that it ran on does not lead any more', 0, $error);
            }
            self::rollBack($connection);
        }
        $judgement = Judgement::of($error, $handle, Role::Writer, Phase::InTransaction, $cluster);
        if ($judgement->end !== null) {
            self::giveUp($connection, $handle);
        }

        return $judgement->verdict;
    }

    private static function commit(Connection $connection, Handle $handle, string $cluster): void
    {
        try {
            $connection->commit();
        } catch (\Throwable $error) {
            $answer = self::answer($error);
            if ($answer === null || $handle->isRefusal($answer, \HaDsn::verdict($answer, Phase::Commit, $cluster))) {
                self::rollBack($connection);
                throw $error;
            }
            self::giveUp($connection, $handle);
            throw new CommitUnknownException(previous: $error);
        }
    }

    /** What PDO has said of COMMIT; null, if it was not PDO that spoke. */
    private static function answer(\Throwable $error): ?\PDOException
    {
        $answer = null;
        for ($link = $error; $link !== null; $link = $link->getPrevious()) {
            $answer = $link instanceof \PDOException ? $link : $answer;
        }

        return $answer;
    }

    /** Ends the transaction, and those within it, as far as DBAL knows of any. */
    private static function rollBack(Connection $connection): void
    {
        try {
            while ($connection->isTransactionActive()) {
                $connection->rollBack();
            }
        } catch (\Throwable) {
            // What has happened before is what the caller has to know.
            $connection->close();
        }
    }

    private static function giveUp(Connection $connection, Handle $handle): void
    {
        Memory::of($handle->pdo)?->lose();
        $connection->close();
    }
}
