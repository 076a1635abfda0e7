<?php

declare(strict_types=1);

namespace HaDsn\Doctrine;

use Doctrine\DBAL\Connection;
use Doctrine\DBAL\Exception as DbalException;
use Doctrine\ORM\EntityManagerInterface;
use Doctrine\Persistence\ManagerRegistry;
use HaDsn\CommitUnknownException;
use HaDsn\TransactionException;

/**
 * {@see Transactions} for the ORM: instead of `EntityManager::wrapInTransaction()`. An entity manager is of no use after a loss: it is closed, or it takes for
 * stored what went with the transaction. So every run begins with an empty one.
 *
 *     HaDsn\Doctrine\EntityTransactions::run($registry, function (EntityManagerInterface $manager) use ($id): void {
 *         $manager->find(Account::class, $id)->withdraw(1);
 *     });
 */
final class EntityTransactions
{
    /**
     * Runs `$work` in a transaction, flushes, commits, and returns what it returns. Lost before COMMIT, it is run again on the new leader.
     *
     * The manager is cleared before: entities have to be fetched in the work, and what was persisted before it is not stored. It is
     * cleared too when something is thrown.
     *
     * @template T
     *
     * @param callable(EntityManagerInterface): T $work
     * @param string|null                         $name of the manager; null: the default one
     *
     * @return T
     *
     * @throws CommitUnknownException if the answer to COMMIT was lost: it was carried out, or not
     * @throws TransactionException   as {@see Transactions::run()}; or if the registry gives a new manager a connection of its own
     * @throws DbalException          if there is no connection, or COMMIT was refused
     * @throws \Throwable             what the work, or `flush()`, throws
     */
    public static function run(ManagerRegistry $registry, callable $work, ?string $name = null): mixed
    {
        $connection = self::manager($registry, $name)->getConnection();
        $manager = null;
        $run = static function (Connection $db) use ($registry, $work, $name, &$manager): mixed {
            $manager = self::manager($registry, $name);
            if ($manager->getConnection() !== $db) {
                throw TransactionException::otherConnection();
            }
            $manager->clear();
            $result = $work($manager);
            $manager->flush();

            return $result;
        };
        try {
            return Transactions::run($connection, $run);
        } catch (\Throwable $error) {
            try {
                // Else the next flush() would write what was rolled back, or count on what is not there.
                $manager?->clear();
            } finally {
                throw $error;
            }
        }
    }

    private static function manager(ManagerRegistry $registry, ?string $name): EntityManagerInterface
    {
        $manager = $registry->getManager($name);
        if ($manager instanceof EntityManagerInterface && !$manager->isOpen()) {
            $manager = $registry->resetManager($name);
        }

        return $manager instanceof EntityManagerInterface
            ? $manager
            : throw new \LogicException('manager ' . ($name ?? 'by default') . ' is none of Doctrine\'s ORM');
    }
}
