<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel\app;

/**
 * The code of docs/laravel.md: what the test application runs is what a reader copies.
 */
final class Documentation
{
    /** The block that begins with a comment that names this file. */
    public static function code(string $file): string
    {
        $page = (string) file_get_contents(__DIR__ . '/../../../../docs/laravel.md');
        $pattern = '~^( *)```(?:php|ini)\n\1(?://|#) ' . preg_quote($file, '~') . '\n(.*?)^\1```$~ms';
        if (preg_match_all($pattern, $page, $found) !== 1) {
            throw new \RuntimeException("docs/laravel.md: expected one block of $file");
        }

        return (string) preg_replace("~^{$found[1][0]}~m", '', $found[2][0]);
    }

    /**
     * The variables of its .env.
     *
     * @return array<string, string>
     */
    public static function environment(): array
    {
        return parse_ini_string(self::code('.env'), false, INI_SCANNER_RAW) ?: [];
    }
}
