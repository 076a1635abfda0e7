<?php

declare(strict_types=1);

namespace HaDsn\Connection;

use HaDsn\ConfigException;

/**
 * The DSN `hadsn:…` that a framework's hook hands to PDO, and what of the framework's own settings can't go into it.
 *
 * @internal
 */
final class Dsn
{
    /** libpq's, from what does least to what does most. Without the keyword it is `prefer`. */
    private const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];

    private const FILES = ['sslrootcert', 'sslcert', 'sslkey', 'sslcrl'];

    /**
     * @param array<string, string|int|null> $parts by the DSN's keys; what is empty or null is left out
     * @param string                         $where in front of a key in messages
     *
     * @throws ConfigException if a part can't stand in a DSN, or PDO takes no such DSN
     */
    public static function of(array $parts, string $where): string
    {
        if (\in_array(strtolower((string) \ini_get('hadsn.pdo_dsn')), ['', '0', 'off', 'no', 'false'], true)) {
            throw new ConfigException("{$where}hadsn: hadsn.pdo_dsn is off in php.ini, and is needed here");
        }
        $pairs = [];
        foreach ($parts as $key => $part) {
            $text = (string) $part;
            if (str_contains($text, ';')) {
                throw new ConfigException("$where$key: a semicolon can't be part of it");
            }
            if ($text !== '') {
                $pairs[] = "$key=$text";
            }
        }

        return 'hadsn:' . implode(';', $pairs);
    }

    /**
     * Refuses settings that ask for more TLS than the source of the cluster: the connection would be less safe than it looks.
     *
     * @param array<string, mixed> $settings of the framework, by libpq's keywords
     * @param string               $where    in front of a key in messages
     *
     * @throws ConfigException
     */
    public static function checkTls(string $cluster, #[\SensitiveParameter] array $settings, string $where): void
    {
        $source = \HaDsn::status()['clusters'][$cluster]['source'] ?? '';
        $mode = self::setting($settings, 'sslmode');
        if (self::strictness($mode) > max(self::strictness('prefer'), self::strictness(self::option($source, 'sslmode')))) {
            throw self::missing($where, 'sslmode', $mode, $cluster);
        }
        foreach (self::FILES as $key) {
            $file = self::setting($settings, $key);
            if ($file !== '' && self::option($source, $key) === '') {
                throw self::missing($where, $key, $file, $cluster);
            }
        }
        $gss = self::setting($settings, 'gssencmode');
        if (!\in_array($gss, ['', 'prefer', self::option($source, 'gssencmode')], true)) {
            throw self::missing($where, 'gssencmode', $gss, $cluster);
        }
    }

    /** What libpq does not know counts as the strictest: it is not let through. */
    private static function strictness(string $mode): int
    {
        $found = array_search($mode === '' ? 'prefer' : $mode, self::SSL_MODES, true);

        return $found === false ? \count(self::SSL_MODES) : $found;
    }

    /** @param array<string, mixed> $settings */
    private static function setting(#[\SensitiveParameter] array $settings, string $key): string
    {
        $value = $settings[$key] ?? '';

        return \is_scalar($value) ? (string) $value : '';
    }

    private static function option(string $source, string $key): string
    {
        return preg_match("/[?&]$key=([^&\\s]*)/", $source, $found) === 1 ? rawurldecode($found[1]) : '';
    }

    private static function missing(string $where, string $key, string $value, string $cluster): ConfigException
    {
        return new ConfigException("$where$key: it has to stand in the source of the cluster $cluster too: …?$key=" . rawurlencode($value));
    }
}
