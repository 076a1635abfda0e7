<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * Columns, aligned.
 *
 * @internal
 */
final class Table
{
    /** @var list<list<array{string, Color|null}>> */
    private array $rows = [];

    /**
     * @param list<string> $head
     * @param list<int>    $right the columns that are aligned to the right
     */
    public function __construct(private readonly array $head, private readonly array $right = []) {}

    /** @param list<string|array{string, Color|null}> $cells */
    public function add(array $cells): void
    {
        $this->rows[] = array_map(static fn(string|array $cell): array => is_string($cell) ? [$cell, null] : $cell, $cells);
    }

    /** @return list<string> its lines */
    public function lines(Terminal $terminal): array
    {
        $head = array_map(static fn(string $title): array => [$title, Color::Heading], $this->head);
        $widths = array_fill(0, count($head), 0);
        foreach ([$head, ...$this->rows] as $row) {
            foreach ($row as $i => [$text]) {
                $widths[$i] = max($widths[$i], Text::width($text));
            }
        }
        $lines = [];
        foreach ([$head, ...$this->rows] as $row) {
            $line = '';
            foreach ($row as $i => [$text, $color]) {
                $isLast = $i === count($row) - 1;
                $isRight = in_array($i, $this->right, true);
                // Nothing stands behind the last one.
                $padded = $isLast && !$isRight ? $text : Text::pad($text, $widths[$i], $isRight);
                $line .= ($i === 0 ? '' : '  ') . ($color === null ? $padded : $terminal->colored($padded, $color));
            }
            $lines[] = rtrim($line);
        }

        return $lines;
    }
}
