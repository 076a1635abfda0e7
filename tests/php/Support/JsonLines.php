<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * A log to which another process is writing: one JSON object a line.
 */
final class JsonLines
{
    /**
     * What stands in it so far.
     *
     * @return list<array<string, mixed>>
     */
    public static function read(string $file): array
    {
        if (!is_file($file)) {
            return [];
        }
        $lines = explode("\n", (string) file_get_contents($file));
        // The last one is empty, or still being written.
        array_pop($lines);

        return array_map(static fn(string $line): array => json_decode($line, true, 16, JSON_THROW_ON_ERROR), $lines);
    }
}
