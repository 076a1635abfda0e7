<?php

declare(strict_types=1);

namespace HaDsn\Testing;

/**
 * The PDOExceptions of a failover, for tests that put a double in the place of the database: SQLSTATE, driver code and text are those that
 * PDO's PostgreSQL driver gives.
 *
 *     $repository = $this->createStub(Orders::class);
 *     $repository->method('place')->willThrowException(PdoErrors::connectionLost());
 *
 * Where there is a database to test with, {@see FakeCluster::inFrontOf()} provokes the real ones.
 */
final class PdoErrors
{
    /** The leader was shut down, as in a switchover. PDO has no SQLSTATE for it. */
    public static function terminated(): \PDOException
    {
        return self::inUse('HY000', "FATAL:  terminating connection due to administrator command\n" . self::CLOSED);
    }

    /** The connection broke: a crash, a network that is gone. */
    public static function connectionLost(): \PDOException
    {
        return self::inUse('HY000', self::CLOSED);
    }

    /** A write on a server that has become a replica. */
    public static function readOnly(string $command = 'INSERT'): \PDOException
    {
        return self::inUse('25006', "ERROR:  cannot execute $command in a read-only transaction");
    }

    /** A connection that broke before, used again. */
    public static function noConnection(): \PDOException
    {
        return self::inUse('HY000', 'no connection to the server');
    }

    /** Nobody listens there. */
    public static function refused(string $host = '127.0.0.1', int $port = 5432): \PDOException
    {
        return self::connecting($host, $port, "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?");
    }

    /** The server starts, or recovers. */
    public static function startingUp(string $host = '127.0.0.1', int $port = 5432): \PDOException
    {
        return self::connecting($host, $port, 'FATAL:  the database system is starting up');
    }

    /** A replica where the leader was meant (`target_session_attrs=read-write`). */
    public static function notTheLeader(string $host = '127.0.0.1', int $port = 5432): \PDOException
    {
        return self::connecting($host, $port, 'session is read-only');
    }

    private const CLOSED = "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n\tbefore or while processing the request.";

    private static function inUse(string $state, string $text): \PDOException
    {
        $what = $state === '25006' ? 'Read only sql transaction' : 'General error';

        return self::make($state, $text, "SQLSTATE[$state]: $what: 7 $text", $state);
    }

    private static function connecting(string $host, int $port, string $text): \PDOException
    {
        $text = "connection to server at \"$host\", port $port failed: $text";

        return self::make('08006', $text, "SQLSTATE[08006] [7] $text", 7);
    }

    private static function make(string $state, string $text, string $message, string|int $code): \PDOException
    {
        $error = new \PDOException($message);
        $error->errorInfo = [$state, 7, $text];
        // The constructor takes a number only; PDO itself sets the SQLSTATE.
        (new \ReflectionProperty(\Exception::class, 'code'))->setValue($error, $code);

        return $error;
    }

    private function __construct() {}
}
