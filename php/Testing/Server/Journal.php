<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

use HaDsn\Testing\Fate;

/**
 * The statements that have come, and what became of them.
 *
 * @internal
 */
final class Journal
{
    /** Statements with this comment are the helpers' own, and no part of the story. */
    public const OURS = '/* HaDsn\Testing */';

    /** @var array<int, array{sql: string, member: string, connection: int, fate: Fate}> */
    private array $entries = [];

    /** @return int its number */
    public function add(string $sql, string $member, int $connection): int
    {
        $this->entries[] = ['sql' => $sql, 'member' => $member, 'connection' => $connection, 'fate' => Fate::Open];

        return array_key_last($this->entries);
    }

    public function settle(int $number, Fate $fate): void
    {
        if (isset($this->entries[$number])) {
            $this->entries[$number]['fate'] = $fate;
        }
    }

    /** @return list<array{sql: string, member: string, connection: int, fate: string}> */
    public function entries(): array
    {
        $entries = [];
        foreach ($this->entries as $entry) {
            $entries[] = ['fate' => $entry['fate']->value] + $entry;
        }

        return $entries;
    }
}
