<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * PHP in a process of its own, with the same extension under test.
 */
final class Php
{
    /**
     * Runs code and waits for its end.
     *
     * @param string                $code    without `<?php`
     * @param array<string, string> $ini     settings
     * @param array<string, string> $env     the environment
     * @param float                 $timeout seconds, after which it is killed and the test fails
     */
    public static function run(string $code, array $ini = [], array $env = [], float $timeout = 60.0): Outcome
    {
        return self::start($code, $ini, $env)->wait($timeout);
    }

    /**
     * Starts code and does not wait.
     *
     * @param array<string, string> $ini
     * @param array<string, string> $env
     */
    public static function start(string $code, array $ini = [], array $env = []): Process
    {
        return new Process([...self::command($ini), '-r', $code], $env);
    }

    /**
     * The command that runs PHP, to which arguments are added.
     *
     * @param array<string, string> $ini
     *
     * @return list<string>
     */
    public static function command(array $ini = [], bool $withExtension = true): array
    {
        return [PHP_BINARY, ...self::options($ini, $withExtension)];
    }

    /**
     * The options of that command, which PHP-FPM takes as well.
     *
     * @param array<string, string> $ini
     *
     * @return list<string>
     */
    public static function options(array $ini = [], bool $withExtension = true): array
    {
        $ini += ['error_reporting' => '-1', 'display_errors' => 'stderr', 'log_errors' => '0'];
        // As in this process: see bootstrap.php.
        $ini += ['zend.exception_ignore_args' => (string) (int) ini_get('zend.exception_ignore_args')];
        if ($withExtension && !self::isLoadedAnyway()) {
            $ini['extension'] = self::extension();
        }
        $options = [];
        foreach ($ini as $name => $value) {
            array_push($options, '-d', $name . '="' . addcslashes($value, '"\\') . '"');
        }

        return $options;
    }

    /**
     * The file that this very process has loaded.
     */
    public static function extension(): string
    {
        static $path = null;

        return $path ??= self::findExtension();
    }

    private static function findExtension(): string
    {
        foreach (file('/proc/self/maps', FILE_IGNORE_NEW_LINES) ?: [] as $line) {
            if (preg_match('~\s(/\S*/(?:lib)?hadsn\.so)(?: \(deleted\))?$~', $line, $found) === 1) {
                return $found[1];
            }
        }
        throw new \RuntimeException('the file of the extension hadsn is not among the files that this process has mapped');
    }

    /** Whether php.ini loads the extension already. */
    private static function isLoadedAnyway(): bool
    {
        static $answer = null;

        return $answer ??= (new Process([PHP_BINARY, '-r', 'echo (int) extension_loaded("hadsn");']))->wait(30.0)->stdout === '1';
    }
}
