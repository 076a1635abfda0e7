<?php

declare(strict_types=1);

namespace HaDsn\Doctrine;

use Doctrine\DBAL\Connection;
use Doctrine\DBAL\Exception\DriverException;
use HaDsn\CommitUnknownException;
use HaDsn\Connection\Patience;
use HaDsn\Phase;
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
     * `failover_timeout` at most: what it does besides its statements must bear that.
     *
     * @template T
     *
     * @param callable(Connection): T $work
     * @param string                  $cluster the cluster that the connection belongs to
     *
     * @return T
     *
     * @throws CommitUnknownException if the answer to COMMIT was lost: it was carried out, or not
     * @throws \LogicException        inside another transaction, which can't be repeated from here
     */
    public static function run(Connection $connection, callable $work, string $cluster = 'default'): mixed
    {
        if ($connection->isTransactionActive()) {
            throw new \LogicException('a transaction is open already: run the outer one with HaDsn\Doctrine\Transactions');
        }
        $patience = new Patience($cluster);
        while (true) {
            $phase = Phase::Connect;
            try {
                $connection->beginTransaction();
                $phase = Phase::InTransaction;
                $result = $work($connection);
                $phase = Phase::Commit;
                $connection->commit();

                return $result;
            } catch (\Throwable $error) {
                $verdict = \extension_loaded('hadsn') ? \HaDsn::verdict($error, $phase, $cluster) : Verdict::Unrelated;
                self::leave($connection, $verdict);
                if ($phase === Phase::Commit && $verdict === Verdict::InDoubt) {
                    throw new CommitUnknownException(previous: $error);
                }
                if ($verdict !== Verdict::Retry || !self::mayRepeat($error, $patience)) {
                    throw $error;
                }
            }
        }
    }

    /** Ends the transaction: with its connection, if that is of no use any more. */
    private static function leave(Connection $connection, Verdict $verdict): void
    {
        if ($verdict !== Verdict::Unrelated) {
            $connection->close();

            return;
        }
        if ($connection->isTransactionActive()) {
            try {
                $connection->rollBack();
            } catch (\Throwable) {
                // What has happened before is what the caller has to know.
                $connection->close();
            }
        }
    }

    private static function mayRepeat(\Throwable $error, Patience $patience): bool
    {
        // An application's own READ ONLY transaction is refused like this for ever, a deposed leader once.
        $isReadOnly = $error instanceof DriverException && $error->getSQLState() === '25006';

        return (!$isReadOnly || $patience->attempt() === 1) && $patience->waitForFailover();
    }
}
