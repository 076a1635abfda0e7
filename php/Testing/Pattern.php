<?php

declare(strict_types=1);

namespace HaDsn\Testing;

/**
 * Which statements are meant: those that begin with a text, or match a regular expression.
 *
 * @internal
 */
final class Pattern
{
    /** White space and comments, which may stand before a statement. */
    private const BEFORE = '(?:\s|/\*.*?\*/|--[^\n]*\n)*+';

    /** The regular expression for `$statement`: `/…/i` as it stands, or a text whose case and white space do not count. */
    public static function of(string $statement): string
    {
        if (preg_match('~^/(?!\*).*/[a-zA-Z]*$~Ds', $statement) === 1) {
            // What is wrong with it is PHP's own warning.
            return preg_match($statement, '') !== false ? $statement : throw new \InvalidArgumentException("a statement to wait for: $statement is no regular expression");
        }
        $words = preg_split('/\s+/', trim($statement), -1, PREG_SPLIT_NO_EMPTY) ?: [];
        if ($words === []) {
            throw new \InvalidArgumentException('a statement to wait for: expected the text that it begins with, or a regular expression such as /purchase/i');
        }
        $text = implode('\s+', array_map(static fn(string $word): string => preg_quote($word, '~'), $words));

        return '~^' . self::BEFORE . $text . (preg_match('/\w$/D', $statement) === 1 ? '(?!\w)' : '') . '~is';
    }

    private function __construct() {}
}
