<?php

/** What a warm HaDsn::writer() costs, beside a method that does nothing and caches of other kinds. */

declare(strict_types=1);

use function HaDsn\Bench\promise;
use function HaDsn\Bench\sideBySide;
use function HaDsn\Bench\table;

require __DIR__ . '/lib.php';

const CALLS = 200_000;
const ROUNDS = 41;

/** The cache that an application writes for itself: a static property and a clock. */
final class PhpCache
{
    private static string $dsn = '';
    private static float $until = 0.0;

    public static function writer(): string
    {
        if (microtime(true) < self::$until) {
            return self::$dsn;
        }
        self::$dsn = HaDsn::writer();
        self::$until = microtime(true) + 3600;

        return self::$dsn;
    }
}

// A long window, so that no round looks at the network.
HaDsn::configure(HaDsn\Bench\SOURCES . '?poll=10m&ttl=20m');
apcu_store('dsn', HaDsn::writer());

$medians = sideBySide([
    'an empty loop' => static function (): float {
        $begin = hrtime(true);
        for ($i = 0; $i < CALLS; $i++) {
        }

        return (hrtime(true) - $begin) / CALLS;
    },
    'an empty method, registered by hand' => static function (): float {
        $begin = hrtime(true);
        for ($i = 0; $i < CALLS; $i++) {
            HaDsnBenchBare::nothing();
        }

        return (hrtime(true) - $begin) / CALLS;
    },
    'an empty method, by ext-php-rs' => static function (): float {
        $begin = hrtime(true);
        for ($i = 0; $i < CALLS; $i++) {
            HaDsnBench::nothing();
        }

        return (hrtime(true) - $begin) / CALLS;
    },
    'HaDsn::writer()' => static function (): float {
        $begin = hrtime(true);
        for ($i = 0; $i < CALLS; $i++) {
            HaDsn::writer();
        }

        return (hrtime(true) - $begin) / CALLS;
    },
    'HaDsn::reader()' => static function (): float {
        $begin = hrtime(true);
        for ($i = 0; $i < CALLS; $i++) {
            HaDsn::reader();
        }

        return (hrtime(true) - $begin) / CALLS;
    },
    'apcu_fetch()' => static function (): float {
        $begin = hrtime(true);
        for ($i = 0; $i < CALLS; $i++) {
            apcu_fetch('dsn');
        }

        return (hrtime(true) - $begin) / CALLS;
    },
    'a cache in PHP' => static function (): float {
        $begin = hrtime(true);
        for ($i = 0; $i < CALLS; $i++) {
            PhpCache::writer();
        }

        return (hrtime(true) - $begin) / CALLS;
    },
], ROUNDS);

table('A warm call (median of ' . ROUNDS . ' rounds of ' . CALLS . ' calls, loop included)', $medians, 1, 'ns', 'HaDsn::writer()');
promise('HaDsn::writer() : apcu_fetch()', $medians['HaDsn::writer()'] / $medians['apcu_fetch()'], 0.3);
promise(
    'HaDsn::writer() : an empty method by ext-php-rs',
    $medians['HaDsn::writer()'] / $medians['an empty method, by ext-php-rs'],
    1.5,
);
