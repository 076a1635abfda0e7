<?php

declare(strict_types=1);

namespace HaDsn\Connection;

/**
 * The SQLSTATEs that matter here (PostgreSQL manual, appendix A), and how to find them.
 *
 * @internal
 */
final class SqlState
{
    public const READ_ONLY = '25006';
    public const FAILED_TRANSACTION = '25P02';
    public const SERIALIZATION_FAILURE = '40001';
    public const DEADLOCK = '40P01';

    /** Whether an exception or one of its previous ones carries one of these. */
    public static function isIn(\Throwable $error, string ...$states): bool
    {
        for ($link = $error; $link !== null; $link = $link->getPrevious()) {
            if ($link instanceof \PDOException && in_array(self::of($link), $states, true)) {
                return true;
            }
        }

        return false;
    }

    /** What the server has said, or null if it has said nothing: HY000 is PDO's word for that. */
    public static function of(\PDOException $error): ?string
    {
        $state = $error->errorInfo[0] ?? $error->getCode();

        return is_string($state) && preg_match('/^[0-9A-Z]{5}$/D', $state) === 1 && $state !== 'HY000' ? $state : null;
    }
}
