<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * Ctrl-C and SIGTERM, noted, so that a command ends itself in good order. Without pcntl the signal ends the process, and
 * nothing may be left to be restored then.
 *
 * @internal
 */
final class Interrupt
{
    private static bool $hasCome = false;

    public static function isCaught(): bool
    {
        return function_exists('pcntl_signal');
    }

    public static function listen(): void
    {
        if (self::isCaught()) {
            pcntl_async_signals(true);
            foreach ([SIGINT, SIGTERM, SIGHUP] as $signal) {
                // Not restarting: a wait ends at once.
                pcntl_signal($signal, static function () use ($signal): void {
                    self::$hasCome = true;
                    // Who presses Ctrl-C again does not want to wait any longer.
                    pcntl_signal($signal, SIG_DFL);
                }, false);
            }
        }
    }

    /**
     * Calls, with the signals kept back until it returns: PHP drops one that comes while an internal function is about to throw.
     *
     * @template T
     *
     * @param \Closure(): T $call
     *
     * @return T
     */
    public static function after(\Closure $call): mixed
    {
        if (!self::isCaught() || !function_exists('pcntl_sigprocmask')) {
            return $call();
        }
        pcntl_sigprocmask(SIG_BLOCK, [SIGINT, SIGTERM, SIGHUP]);
        try {
            return $call();
        } finally {
            pcntl_sigprocmask(SIG_UNBLOCK, [SIGINT, SIGTERM, SIGHUP]);
        }
    }

    public static function hasCome(): bool
    {
        return self::$hasCome;
    }

    /** Between two steps of a long work. */
    public static function check(): void
    {
        if (self::$hasCome) {
            throw Failure::interrupted();
        }
    }

    /** Waits; false if a signal came. */
    public static function sleep(float $seconds): bool
    {
        $until = hrtime(true) + (int) ($seconds * 1e9);
        while (!self::$hasCome && ($left = $until - hrtime(true)) > 0) {
            usleep(max(1, (int) min($left / 1000 + 1, 100_000)));
        }

        return !self::$hasCome;
    }
}
