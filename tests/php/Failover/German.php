<?php

declare(strict_types=1);

namespace HaDsn\Tests\Failover;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Process;

/**
 * A language other than English for libpq, the C library and PostgreSQL. The locale is made in a folder of its own, so that the
 * machine needs none.
 */
final class German
{
    public const LOCALE = 'de_DE.UTF-8';

    private const CATEGORIES = [LC_CTYPE, LC_NUMERIC, LC_TIME, LC_COLLATE, LC_MONETARY, LC_MESSAGES];

    /** The folder of the locale, for the environment variable LOCPATH. */
    public static function path(): string
    {
        static $directory = null;

        return ($directory ??= self::make())->path;
    }

    /** Calls, while libpq's own texts are German in this process, as PHP's setlocale() makes them. */
    public static function speak(callable $call): mixed
    {
        $before = array_map(static fn(int $category): string => setlocale($category, '0'), self::CATEGORIES);
        putenv('LOCPATH=' . self::path());
        try {
            if (setlocale(LC_ALL, self::LOCALE) === false) {
                throw new \RuntimeException('the locale ' . self::LOCALE . ' can not be set');
            }

            return $call();
        } finally {
            setlocale(LC_ALL, 'C');
            putenv('LOCPATH');
            array_map(setlocale(...), self::CATEGORIES, $before);
        }
    }

    private static function make(): Directory
    {
        $directory = new Directory();
        // The server's user reads it, too.
        chmod($directory->path, 0755);
        $target = "$directory->path/" . self::LOCALE;
        $outcome = (new Process(['/usr/bin/localedef', '-i', 'de_DE', '-f', 'UTF-8', $target]))->wait(60.0);
        if ($outcome->exitCode !== 0) {
            throw new \RuntimeException("localedef (of the Debian package locales): {$outcome->stdout}{$outcome->stderr}");
        }

        return $directory;
    }
}
