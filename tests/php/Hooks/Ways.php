<?php

declare(strict_types=1);

namespace HaDsn\Tests\Hooks;

use Doctrine\DBAL\Configuration;
use Doctrine\DBAL\Connection as DbalConnection;
use Doctrine\DBAL\DriverManager;
use HaDsn\Connection;
use HaDsn\Doctrine\Middleware;
use HaDsn\Doctrine\Transactions;
use HaDsn\Laravel\PostgresConnection;
use HaDsn\Tests\Laravel\app\Application;

/**
 * Ways to write two rows of a number, both or none: by each of the package's connections, in transactions of every kind. All use the same connections
 * again and again, as a worker does.
 */
final class Ways
{
    private const INSERT = 'INSERT INTO written VALUES (?, ?)';
    private const BOTH = 'INSERT INTO written VALUES (?, 1), (?, 2)';

    /** @var list<int> the numbers of which Laravel has said that they are committed */
    public array $callbacks = [];

    private readonly PostgresConnection $laravel;
    private readonly Connection $plain;
    private readonly DbalConnection $dbal;

    /** @param string $source of the cluster */
    public function __construct(string $source)
    {
        \HaDsn::configure($source, 'plain');
        $laravel = (new Application(['hadsn' => $source]))->db()->connection();
        \assert($laravel instanceof PostgresConnection);
        $this->laravel = $laravel;
        $this->plain = new Connection('app', 'app', null, 'plain');
        $configuration = new Configuration();
        $configuration->setMiddlewares([new Middleware('plain')]);
        $this->dbal = DriverManager::getConnection(['driver' => 'pdo_pgsql', 'user' => 'app', 'password' => 'app', 'dbname' => 'app'], $configuration);
        $this->dbal->setNestTransactionsWithSavepoints(true);
    }

    /** @return array<string, \Closure(int): mixed> */
    public function all(): array
    {
        return [
            'Laravel: transaction()' => fn(int $number) => $this->laravel->transaction(function () use ($number): void {
                $this->laravel->insert(self::INSERT, [$number, 1]);
                $this->laravel->afterCommit(function () use ($number): void {
                    $this->callbacks[] = $number;
                });
                $this->laravel->select('SELECT 7');
                $this->laravel->insert(self::INSERT, [$number, 2]);
            }),
            'Laravel: nested' => fn(int $number) => $this->laravel->transaction(function () use ($number): void {
                $this->laravel->insert(self::INSERT, [$number, 1]);
                try {
                    $this->laravel->transaction(function () use ($number): void {
                        $this->laravel->insert(self::INSERT, [$number, 9]);
                        $this->laravel->select('SELECT 1/0');
                    });
                } catch (\Throwable) {
                    // What went wrong in the savepoint is gone with it.
                }
                $this->laravel->transaction(fn() => $this->laravel->insert(self::INSERT, [$number, 2]));
            }),
            'Laravel: beginTransaction()' => function (int $number): void {
                $this->laravel->beginTransaction();
                try {
                    $this->laravel->insert(self::INSERT, [$number, 1]);
                    $this->laravel->insert(self::INSERT, [$number, 2]);
                    $this->laravel->commit();
                } catch (\Throwable $e) {
                    $this->laravel->rollBack();
                    throw $e;
                }
            },
            'Laravel: BEGIN by hand' => function (int $number): void {
                $this->laravel->statement('BEGIN');
                try {
                    $this->laravel->insert(self::INSERT, [$number, 1]);
                    $this->laravel->insert(self::INSERT, [$number, 2]);
                    $this->laravel->statement('COMMIT');
                } catch (\Throwable $e) {
                    try {
                        $this->laravel->statement('ROLLBACK');
                    } catch (\Throwable) {
                        // There is nothing to roll back any more.
                    }
                    throw $e;
                }
            },
            'Laravel: one statement' => fn(int $number) => $this->laravel->insert(self::BOTH, [$number, $number]),
            'Connection: transaction()' => fn(int $number) => $this->plain->transaction(function (\PDO $pdo) use ($number): void {
                $pdo->prepare(self::INSERT)->execute([$number, 1]);
                $pdo->query('SELECT 7');
                $pdo->prepare(self::INSERT)->execute([$number, 2]);
            }),
            'Connection: nested' => fn(int $number) => $this->plain->transaction(function (\PDO $pdo) use ($number): void {
                $pdo->prepare(self::INSERT)->execute([$number, 1]);
                try {
                    $this->plain->transaction(function (\PDO $pdo) use ($number): void {
                        $pdo->prepare(self::INSERT)->execute([$number, 9]);
                        $pdo->query('SELECT 1/0');
                    });
                } catch (\Throwable) {
                    // As above.
                }
                $this->plain->transaction(fn(\PDO $pdo) => $pdo->prepare(self::INSERT)->execute([$number, 2]));
            }),
            'Connection: run()' => fn(int $number) => $this->plain->run(fn(\PDO $pdo) => $pdo->prepare(self::BOTH)->execute([$number, $number])),
            'Doctrine: run()' => fn(int $number) => Transactions::run($this->dbal, function (DbalConnection $db) use ($number): void {
                $db->executeStatement(self::INSERT, [$number, 1]);
                $db->fetchOne('SELECT 7');
                $db->executeStatement(self::INSERT, [$number, 2]);
            }),
            'Doctrine: nested' => fn(int $number) => Transactions::run($this->dbal, function (DbalConnection $db) use ($number): void {
                $db->executeStatement(self::INSERT, [$number, 1]);
                try {
                    $db->transactional(function (DbalConnection $db) use ($number): void {
                        $db->executeStatement(self::INSERT, [$number, 9]);
                        $db->fetchOne('SELECT 1/0');
                    });
                } catch (\Throwable) {
                    // As above.
                }
                $db->transactional(fn(DbalConnection $db) => $db->executeStatement(self::INSERT, [$number, 2]));
            }),
        ];
    }

    /** Whether one of the connections takes a transaction for open. */
    public function isInTransaction(): bool
    {
        return $this->laravel->transactionLevel() > 0 || $this->dbal->isTransactionActive();
    }
}
