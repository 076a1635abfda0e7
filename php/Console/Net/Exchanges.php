<?php

declare(strict_types=1);

namespace HaDsn\Console\Net;

use HaDsn\Console\Interrupt;
use HaDsn\Console\Warnings;

/**
 * Drives exchanges beside each other, each until its own time is up: the slowest decides how long it takes, not their sum.
 *
 * @internal
 */
final class Exchanges
{
    /** More are not made at a time: neither this process nor select(2) has room for any number. */
    private const MOST = 256;

    /** @param array<Exchange> $exchanges */
    public static function run(array $exchanges): void
    {
        foreach (array_values($exchanges) as $i => $exchange) {
            if ($i < self::MOST) {
                $exchange->start();
            } else {
                $exchange->refuse('not asked: there are more than ' . self::MOST);
            }
        }
        while (($open = array_filter($exchanges, static fn(Exchange $one): bool => !$one->isDone)) !== []) {
            Interrupt::check();
            $read = $write = [];
            $left = 0.5;
            foreach ($open as $key => $exchange) {
                if ($exchange->left() <= 0.0) {
                    $exchange->expire();
                    continue;
                }
                $left = min($left, $exchange->left());
                if ($exchange->wantsToWrite()) {
                    $write[$key] = $exchange->stream();
                } else {
                    $read[$key] = $exchange->stream();
                }
            }
            if ($read === [] && $write === []) {
                continue;
            }
            $except = null;
            // A signal ends it, and warns; the next turn sees to that.
            [$ready] = Warnings::collect(static function () use (&$read, &$write, &$except, $left): int|false {
                return stream_select($read, $write, $except, 0, (int) ($left * 1e6) + 1);
            });
            if (is_int($ready)) {
                foreach (array_keys($read + $write) as $key) {
                    $exchanges[$key]->advance();
                }
            }
        }
    }
}
