<?php

declare(strict_types=1);

namespace Shop;

use HaDsn\CommitUnknownException;
use HaDsn\Connection;
use HaDsn\NoLeaderException;

/**
 * Sells one thing at a time, exactly once.
 */
final class Shop
{
    public function __construct(private readonly Connection $db) {}

    /**
     * @param string $id chosen by the caller, before: it makes a COMMIT in doubt answerable
     *
     * @throws Closed if nobody can sell anything now
     */
    public function sell(string $id, string $title): void
    {
        $write = static function (\PDO $pdo) use ($id, $title): void {
            $pdo->prepare('INSERT INTO purchase (id, title) VALUES (?, ?)')->execute([$id, $title]);
        };
        try {
            $this->db->transaction($write);
        } catch (CommitUnknownException) {
            // On the leader: a replica may not have it yet.
            if (!$this->db->run(static fn(\PDO $pdo): bool => self::has($pdo, $id))) {
                $this->db->transaction($write);
            }
        } catch (NoLeaderException $nobody) {
            throw new Closed('try again in a minute', 0, $nobody);
        }
    }

    public function count(): int
    {
        return $this->db->run(static fn(\PDO $pdo): int => (int) $pdo->query('SELECT count(*) FROM purchase')->fetchColumn(), 'reader');
    }

    private static function has(\PDO $pdo, string $id): bool
    {
        $select = $pdo->prepare('SELECT FROM purchase WHERE id = ?');
        $select->execute([$id]);

        return $select->rowCount() === 1;
    }
}
