<?php

declare(strict_types=1);

namespace Shop;

/**
 * What many applications do: whatever went wrong, once more. The suite shows how a test finds that out.
 */
final class CarelessShop
{
    private ?\PDO $pdo = null;

    public function sell(string $title): void
    {
        try {
            $this->insert($title);
        } catch (\PDOException) {
            $this->pdo = null;
            $this->insert($title);
        }
    }

    private function insert(string $title): void
    {
        $this->pdo ??= new \PDO('hadsn:', 'app', 'app');
        $this->pdo->prepare('INSERT INTO purchase (id, title) VALUES (gen_random_uuid(), ?)')->execute([$title]);
    }
}
