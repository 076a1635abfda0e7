<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * PHP's streams say in warnings what went wrong. Here they become values.
 *
 * @internal
 */
final class Warnings
{
    /**
     * Calls, and returns its result and what PHP has warned of.
     *
     * @template T
     *
     * @param \Closure(): T $call
     *
     * @return array{T, string}
     */
    public static function collect(\Closure $call): array
    {
        $warnings = [];
        set_error_handler(static function (int $level, string $message) use (&$warnings): bool {
            $warnings[] = $message;

            return true;
        });
        try {
            $result = $call();
        } finally {
            restore_error_handler();
        }

        return [$result, implode('; ', $warnings)];
    }

    /** `fopen(...): Failed to open stream: Permission denied` without what everybody knows. */
    public static function reason(string $warning): string
    {
        if (preg_match('/errno=\d+ ([^;]+)/', $warning, $found) === 1) {
            return lcfirst(Text::line($found[1]));
        }

        return lcfirst(Text::line((string) preg_replace('/^.*: /', '', $warning)));
    }
}
