<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * Texts for a terminal: foreign ones made harmless, numbers made readable.
 *
 * @internal
 */
final class Text
{
    /** Controls (the cursor, colours), formats (the direction of writing, what is not seen at all), separators of lines. */
    private const UNSAFE = '/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u';

    /** How much of a foreign name is shown, and how much of a message, in bytes. */
    private const LONGEST = 300;
    public const LONGEST_MESSAGE = 4000;

    /** A text from outside: it can't move the cursor, change colours or break a line. */
    public static function safe(string $text, int $longest = self::LONGEST): string
    {
        if (strlen($text) > $longest) {
            $text = substr($text, 0, $longest);
            // Not in the middle of a character.
            $text = preg_replace('/[\xC0-\xFF][\x80-\xBF]*$/D', '', $text) . '…';
        }
        if (preg_match('//u', $text) !== 1) {
            return (string) preg_replace_callback('/[^\x20-\x7E]/', static fn(array $byte): string => sprintf('\x%02X', ord($byte[0])), $text);
        }

        return (string) preg_replace_callback(self::UNSAFE, static function (array $found): string {
            $character = $found[0];

            return match ($character) {
                "\n" => '\n',
                "\r" => '\r',
                "\t" => '\t',
                default => strlen($character) === 1
                    ? sprintf('\x%02X', ord($character))
                    : sprintf('\u{%X}', self::codePoint($character)),
            };
        }, $text);
    }

    /** The same, in quotes. */
    public static function quoted(string $text): string
    {
        return '"' . self::safe($text) . '"';
    }

    /** A message of libpq, OpenSSL or the extension in one line. */
    public static function line(string $text): string
    {
        return self::safe(trim((string) preg_replace('/\s+/', ' ', $text)), self::LONGEST_MESSAGE);
    }

    /** How many columns a text takes. */
    public static function width(string $text): int
    {
        return function_exists('mb_strwidth') ? mb_strwidth($text, 'UTF-8') : max(0, (int) preg_match_all('/./us', $text));
    }

    public static function pad(string $text, int $width, bool $isRight = false): string
    {
        $fill = str_repeat(' ', max(0, $width - self::width($text)));

        return $isRight ? $fill . $text : $text . $fill;
    }

    /** A text that takes no more columns than that. */
    public static function cut(string $text, int $width): string
    {
        if (self::width($text) <= $width) {
            return $text;
        }
        $out = '';
        $used = 1;
        foreach (preg_split('//u', $text, -1, PREG_SPLIT_NO_EMPTY) ?: [] as $character) {
            $used += self::width($character);
            if ($used > $width) {
                break;
            }
            $out .= $character;
        }

        return $width < 1 ? '' : $out . '…';
    }

    /**
     * Lines of this width at most, broken at spaces.
     *
     * @return list<string>
     */
    public static function wrap(string $text, int $width): array
    {
        $lines = [];
        $line = '';
        foreach (explode(' ', $text) as $word) {
            if ($line !== '' && self::width($line) + 1 + self::width($word) > $width) {
                $lines[] = $line;
                $line = $word;
            } else {
                $line = $line === '' ? $word : "$line $word";
            }
        }
        $lines[] = $line;

        return $lines;
    }

    /** Bytes, with three digits. */
    public static function bytes(int $bytes): string
    {
        if ($bytes < 1024) {
            return "$bytes B";
        }
        $value = (float) $bytes;
        foreach (['KiB', 'MiB', 'GiB', 'TiB'] as $unit) {
            $value /= 1024;
            if ($value < 999.5 || $unit === 'TiB') {
                break;
            }
        }

        return sprintf($value < 9.95 ? '%.1f %s' : '%.0f %s', $value, $unit);
    }

    /** Seconds, as `12 ms`, `1.5 s` or `2 min`. */
    public static function duration(float $seconds): string
    {
        return match (true) {
            $seconds < 0.000_001 => sprintf('%.3g ns', $seconds * 1e9),
            $seconds < 0.001 => sprintf($seconds < 0.0001 ? '%.3g µs' : '%.0f µs', $seconds * 1e6),
            $seconds < 0.0995 => sprintf('%.3g ms', $seconds * 1e3),
            $seconds < 1.0 => sprintf('%.0f ms', $seconds * 1e3),
            $seconds < 120.0 => rtrim(rtrim(sprintf('%.1f', $seconds), '0'), '.') . ' s',
            $seconds < 7200.0 => sprintf('%.0f min', $seconds / 60),
            default => sprintf('%.1f h', $seconds / 3600),
        };
    }

    /** Of a character in UTF-8. Neither mbstring nor iconv has to be there. */
    private static function codePoint(string $character): int
    {
        $bytes = array_map(ord(...), str_split($character));
        $point = array_shift($bytes) & (0x7F >> count($bytes) + 1);
        foreach ($bytes as $byte) {
            $point = $point << 6 | $byte & 0x3F;
        }

        return $point;
    }

    /** `250ms`, `5s` or `2m` in seconds; null if it is something else. */
    public static function parseDuration(string $text): ?float
    {
        if (preg_match('/^([0-9]{1,9})(ms|s|m)$/D', $text, $found) !== 1) {
            return null;
        }

        return (int) $found[1] * match ($found[2]) {
            'ms' => 0.001,
            's' => 1.0,
            default => 60.0,
        };
    }

    /** `1 warning`, `2 warnings`. */
    public static function count(int $number, string $noun): string
    {
        return "$number $noun" . ($number === 1 ? '' : 's');
    }

    /** JSON in ASCII: the same in every locale, and without what a terminal would obey. */
    public static function json(mixed $value, bool $isPretty = true): string
    {
        $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PRESERVE_ZERO_FRACTION;

        return strtr((string) json_encode($value, $isPretty ? $flags | JSON_PRETTY_PRINT : $flags), ["\x7F" => '\u007f']) . "\n";
    }

    /** The same for a terminal that does not know UTF-8, in as many columns. */
    public static function ascii(string $text): string
    {
        $plain = preg_replace_callback('/[^\x00-\x7F]/u', static fn(array $found): string => match ($found[0]) {
            '…' => '~',
            '→' => '>',
            'µ' => 'u',
            default => str_repeat('?', self::width($found[0])),
        }, $text);

        return $plain ?? (string) preg_replace('/[^\x00-\x7F]/', '?', $text);
    }
}
