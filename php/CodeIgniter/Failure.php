<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

/**
 * A statement or a connect of ext-pgsql that failed. Its message begins with the SQLSTATE, where `HaDsn::verdict()` looks for it.
 *
 * @internal
 */
final class Failure extends \RuntimeException
{
    /** What stands for the server's word where it has not said any (PostgreSQL manual, appendix A: connection_failure). */
    private const NO_WORD = '08006';

    /** What a server says that ends the connection (appendix A: admin_shutdown, crash_shutdown, idle_session_timeout). */
    private const GOODBYES = ['57P01', '57P02', '57P05'];

    /**
     * @param string|null $sqlstate what the server has said; null: nothing
     * @param bool        $isLost   whether the connection is gone
     */
    private function __construct(string $text, public readonly ?string $sqlstate, public readonly bool $isLost)
    {
        parent::__construct('SQLSTATE[' . ($sqlstate ?? self::NO_WORD) . ']: ' . $text);
    }

    /** A connection that did not come about. */
    public static function connect(string $text): self
    {
        return new self(trim($text), null, true);
    }

    /** A server that is not the leader. */
    public static function role(): self
    {
        // libpq's own text for it.
        return new self('session is read-only: the server is a replica', null, true);
    }

    /** A connection that has ended while nobody used it. */
    public static function idle(): self
    {
        return new self('server closed the connection unexpectedly, before anything was sent', null, true);
    }

    /** A connection that was closed on purpose. */
    public static function closed(): self
    {
        return new self('no connection to the server: close() was called in a transaction', null, true);
    }

    /** A statement that failed, with what the server says of it, if it says anything. */
    public static function statement(string $text, ?string $sqlstate, bool $isBroken): self
    {
        return new self(trim($text), $sqlstate, $isBroken || in_array($sqlstate, self::GOODBYES, true));
    }

    /** A statement that libpq or PHP refuses, and the server has not seen. */
    public static function local(string $text): self
    {
        return new self(trim($text), 'XX000', false);
    }
}
