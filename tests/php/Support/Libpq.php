<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * libpq's own reading of a connection string.
 */
final class Libpq
{
    /**
     * The keywords that a conninfo string sets, in libpq's order.
     *
     * @return array<string, string>
     */
    public static function parse(string $conninfo): array
    {
        $libpq = self::library();
        $message = \FFI::addr($libpq->new('char *'));
        $options = $libpq->PQconninfoParse($conninfo, $message);
        if ($options === null) {
            throw new \UnexpectedValueException(\FFI::string($message[0]) . " in $conninfo");
        }
        $found = [];
        for ($i = 0; $options[$i]->keyword !== null; ++$i) {
            if ($options[$i]->val !== null) {
                $found[$options[$i]->keyword] = \FFI::string($options[$i]->val);
            }
        }
        $libpq->PQconninfoFree($options);

        return $found;
    }

    /**
     * The keywords that a DSN sets once PDO has passed it on: PDO turns every semicolon into a space.
     *
     * @return array<string, string>
     */
    public static function parsePdo(string $dsn): array
    {
        if (!str_starts_with($dsn, 'pgsql:')) {
            throw new \UnexpectedValueException("not a DSN of PDO's PostgreSQL driver: $dsn");
        }

        return self::parse(strtr(substr($dsn, strlen('pgsql:')), ';', ' '));
    }

    private static function library(): \FFI
    {
        static $library = null;

        return $library ??= \FFI::cdef(
            <<<'C'
                typedef struct {
                    const char *keyword; const char *envvar; const char *compiled; char *val;
                    const char *label; const char *dispchar; int dispsize;
                } PQconninfoOption;
                PQconninfoOption *PQconninfoParse(const char *conninfo, char **errmsg);
                void PQconninfoFree(PQconninfoOption *options);
                C,
            'libpq.so.5',
        );
    }
}
