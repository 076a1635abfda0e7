<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * An option of the command line.
 *
 * @internal
 */
final class Option
{
    /**
     * @param string      $name  without the dashes
     * @param string|null $value what its value is called in the help; null: it has none
     */
    private function __construct(
        public readonly string $name,
        public readonly ?string $value,
        public readonly string $help,
    ) {}

    public static function flag(string $name, string $help): self
    {
        return new self($name, null, $help);
    }

    public static function value(string $name, string $value, string $help): self
    {
        return new self($name, $value, $help);
    }

    /**
     * Those that every command takes.
     *
     * @return list<self>
     */
    public static function common(): array
    {
        return [
            self::value('cluster', 'NAME', 'the cluster that is meant (default: default)'),
            self::value('source', 'URL', 'the source string, in place of HADSN_URL, HADSN_URL_FILE and hadsn.url; other users of this machine '
                . 'see it in the list of processes, so keep passwords out of it'),
            self::value('user', 'NAME', 'the database role to log in as; without it the source\'s, then PGUSER'),
            self::value('password-file', 'FILE', 'its password is the first line of this file, which may be a pipe: <(pass show db); without it the source\'s, then PGPASSWORD '
                . 'or libpq\'s password file'),
            self::flag('json', 'write JSON'),
            self::flag('no-color', 'no colours, which there are on a terminal only, and not when NO_COLOR is set'),
            self::flag('help', 'this text'),
            self::flag('version', 'the versions of hadsn and PHP'),
        ];
    }
}
