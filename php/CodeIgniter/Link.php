<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use PgSql\Connection as Handle;
use PgSql\Result;

/**
 * A connection of ext-pgsql, with errors that tell their SQLSTATE.
 *
 * @internal
 */
final class Link
{
    /** How long it is believed what the server has said of itself, in seconds. */
    private const FRESH = 1.0;

    /** Whether something speaks against what it has said of its role. */
    public bool $isDoubted = false;

    /** Whether a transaction was open when libpq last knew. */
    private bool $wasInTransaction = false;

    private ?bool $isStandby = null;
    private float $saidAt = 0.0;

    /** @var array<string, true> the statements that are prepared on it */
    private array $prepared = [];

    private function __construct(public readonly Handle $handle) {}

    /**
     * Connects, sets the session up and asks for the server's role, in one round trip.
     *
     * @param string $setup a statement for the session, or nothing
     *
     * @throws Failure
     */
    public static function open(#[\SensitiveParameter] string $conninfo, string $setup): self
    {
        $texts = [];
        // For the same text pg_connect() would hand out the connection that has just broken.
        $handle = self::listening(static fn() => pg_connect($conninfo, PGSQL_CONNECT_FORCE_NEW), $texts);
        if ($handle === false) {
            throw Failure::connect((string) preg_replace('/^pg_connect\(\): (?:Unable to connect to PostgreSQL server: )?/', '', implode("\n", $texts)));
        }
        $link = new self($handle);
        $link->ask($setup);

        return $link;
    }

    /** Whether libpq knows that it is broken. Asks nobody. */
    public function isLost(): bool
    {
        return pg_connection_status($this->handle) === PGSQL_CONNECTION_BAD;
    }

    /**
     * Whether it has ended while nobody used it, so that no statement comes in doubt on a connection that was gone before. It
     * costs no round trip, unless the server has said something.
     */
    public function hasEnded(): bool
    {
        if ($this->isLost()) {
            return true;
        }
        $readable = [pg_socket($this->handle)];
        $none = null;
        $warnings = [];
        if (self::listening(static function () use (&$readable, &$none): int|false {
            return stream_select($readable, $none, $none, 0);
        }, $warnings) === 0 && $warnings === []) {
            return false;
        }
        try {
            // It may be a NOTIFY, or a goodbye; or select(2) can't look at descriptors as high as this one.
            $this->query('SELECT 1');
        } catch (Failure $failure) {
            return $failure->isLost;
        }

        return false;
    }

    /** Whether a transaction is open on it, as far as libpq knows, or was when the connection broke. */
    public function isInTransaction(): bool
    {
        $status = pg_transaction_status($this->handle);
        if ($status !== PGSQL_TRANSACTION_UNKNOWN) {
            $this->wasInTransaction = $status !== PGSQL_TRANSACTION_IDLE;
        }

        return $this->wasInTransaction;
    }

    /** Whether a transaction is open in which a statement has failed: its COMMIT would be a ROLLBACK without an error. */
    public function isInFailedTransaction(): bool
    {
        return pg_transaction_status($this->handle) === PGSQL_TRANSACTION_INERROR;
    }

    /**
     * Asks the server whether it is a replica.
     *
     * @throws Failure
     */
    public function isStandby(): bool
    {
        return $this->ask();
    }

    /**
     * Whether it is known to be a replica, because it said so lately or says so now.
     *
     * @throws Failure
     */
    public function isKnownStandby(): bool
    {
        return $this->isStandby !== null && hrtime(true) / 1e9 - $this->saidAt < self::FRESH ? $this->isStandby : $this->ask();
    }

    /** @throws Failure */
    public function query(string $sql): Result
    {
        return $this->run(fn(): int|bool => pg_send_query($this->handle, $sql));
    }

    /** @throws Failure */
    public function prepare(string $name, string $sql): void
    {
        if (!isset($this->prepared[$name])) {
            $this->run(fn(): int|bool => pg_send_prepare($this->handle, $name, $sql));
            $this->prepared[$name] = true;
        }
    }

    /**
     * @param list<mixed> $values
     *
     * @throws Failure
     */
    public function execute(string $name, array $values): Result
    {
        return $this->run(fn(): int|bool => pg_send_execute($this->handle, $name, $values));
    }

    /** @throws Failure */
    public function deallocate(string $name): void
    {
        if (isset($this->prepared[$name])) {
            unset($this->prepared[$name]);
            $this->query('DEALLOCATE ' . pg_escape_identifier($this->handle, $name));
        }
    }

    public function close(): void
    {
        pg_close($this->handle);
    }

    private function ask(string $before = ''): bool
    {
        $this->isStandby = pg_fetch_result($this->query("{$before}SELECT pg_is_in_recovery()"), 0, 0) === 't';
        $this->saidAt = hrtime(true) / 1e9;
        $this->isDoubted = false;

        return $this->isStandby;
    }

    /**
     * Sends something and takes all results. As with pg_query() the last one counts, or the first failure.
     *
     * pg_query() itself would keep the SQLSTATE to itself.
     *
     * @param \Closure(): (int|bool) $send
     */
    private function run(\Closure $send): Result
    {
        $texts = [];
        if (!self::listening($send, $texts)) {
            $text = implode("\n", [...$texts, pg_last_error($this->handle)]);

            throw $this->isLost() ? Failure::statement($text, null, true) : Failure::local($text);
        }
        $last = $failed = null;
        while (($result = pg_get_result($this->handle)) !== false) {
            $last = $result;
            $status = pg_result_status($result);
            if ($status === PGSQL_FATAL_ERROR || $status === PGSQL_BAD_RESPONSE) {
                $failed ??= $result;
            } elseif ($status === PGSQL_COPY_IN || $status === PGSQL_COPY_OUT) {
                // Whoever asked for it goes on with pg_put_line() and the like.
                break;
            }
        }
        // A break that nobody is told of (ping(), close() of a statement) must not make the transaction forgotten.
        $this->isInTransaction();
        if ($failed === null && $last !== null) {
            return $last;
        }
        $state = $failed === null ? null : pg_result_error_field($failed, PGSQL_DIAG_SQLSTATE);
        $text = $failed === null ? '' : (string) pg_result_error($failed);

        throw Failure::statement($text !== '' ? $text : pg_last_error($this->handle), is_string($state) ? $state : null, $this->isLost());
    }

    /**
     * Calls a function of ext-pgsql and keeps the warnings that it gives: an application's error handler would make exceptions
     * of them, and their traces would show what it was called with.
     *
     * @template T
     *
     * @param \Closure(): T $call
     * @param list<string>  $texts
     *
     * @return T
     */
    private static function listening(\Closure $call, array &$texts): mixed
    {
        set_error_handler(static function (int $level, string $text) use (&$texts): bool {
            $texts[] = $text;

            return true;
        });
        try {
            return $call();
        } finally {
            restore_error_handler();
        }
    }
}
