<?php

declare(strict_types=1);

namespace HaDsn\Bench;

/** The lab's nodes. */
const NODES = ['127.0.0.11', '127.0.0.12', '127.0.0.13'];

/** Where the lab's Patroni listens. */
const SOURCES = 'patroni://127.0.0.11,127.0.0.12,127.0.0.13/app';

/**
 * Runs every candidate once a round, so that a slow moment of the machine hits all alike, and in any order, so that what the one
 * before leaves behind does, too.
 *
 * @param array<string, callable(): float> $candidates each gives the nanoseconds that one operation took
 * @return array<string, float> the median of each, in nanoseconds
 */
function sideBySide(array $candidates, int $rounds): array
{
    $samples = array_fill_keys(array_keys($candidates), []);
    for ($round = 0; $round < $rounds; $round++) {
        $order = array_keys($candidates);
        shuffle($order);
        foreach ($order as $name) {
            $samples[$name][] = $candidates[$name]();
        }
    }

    return array_map(median(...), $samples);
}

/** @param list<float> $values */
function median(array $values): float
{
    sort($values);
    $middle = intdiv(count($values), 2);

    return count($values) % 2 === 1 ? $values[$middle] : ($values[$middle - 1] + $values[$middle]) / 2;
}

/**
 * @param array<string, float> $medians in nanoseconds
 * @param float $unit nanoseconds a unit
 */
function table(string $title, array $medians, float $unit, string $unitName, string $base): void
{
    printf("%s\n", $title);
    foreach ($medians as $name => $nanoseconds) {
        printf("  %-58s %9.2f %s  %6.2f x\n", $name, $nanoseconds / $unit, $unitName, $nanoseconds / $medians[$base]);
    }
}

/** Prints whether a ratio that the project promises holds. */
function promise(string $what, float $ratio, float $limit): void
{
    printf("  %-58s %9.2f (at most %.2f) %s\n", $what, $ratio, $limit, $ratio <= $limit ? 'yes' : 'NO');
}

/** Runs a verb of the lab. */
function lab(string ...$arguments): string
{
    $process = proc_open([__DIR__ . '/../tests/lab/lab', ...$arguments], [1 => ['pipe', 'w'], 2 => ['pipe', 'w']], $pipes);
    if (!is_resource($process)) {
        throw new \RuntimeException('the lab could not be called');
    }
    $output = stream_get_contents($pipes[1]) . stream_get_contents($pipes[2]);
    if (proc_close($process) !== 0) {
        throw new \RuntimeException('lab ' . implode(' ', $arguments) . ": {$output}");
    }

    return $output;
}
