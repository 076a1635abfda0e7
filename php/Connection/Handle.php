<?php

declare(strict_types=1);

namespace HaDsn\Connection;

use HaDsn\NoLeaderException;
use HaDsn\TransactionException;
use HaDsn\Verdict;

/**
 * A connection that is kept, what is known of it, and the statements that {@see \HaDsn\Connection} runs on it itself.
 *
 * @internal
 */
final class Handle
{
    /** How long it is believed what the server has said of itself, in seconds. */
    private const FRESH = 1.0;

    /** How long a leader is read from before a replica is looked for again, in seconds. */
    private const FALLBACK = 30.0;

    /** What PDO says of a connection that libpq has given up. */
    private const BAD = 'Bad connection.';

    private const MARK = 'SET LOCAL hadsn.transaction = on';

    private const SERVER = "CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'leader' END";

    private readonly float $madeAt;
    private float $saidAt;

    /** What the server has said of itself; null: nobody has asked. */
    private ?bool $isStandby = null;

    /**
     * @param \PDO        $pdo      has just been connected and verified
     * @param string|null $replayed the position that it is known to have replayed
     */
    public function __construct(public readonly \PDO $pdo, private ?string $replayed = null)
    {
        $this->madeAt = $this->saidAt = self::now();
    }

    /**
     * Whether libpq knows that the connection is broken. Asks nobody. PDO::inTransaction() can't tell: it is true then.
     */
    public function isLost(): bool
    {
        return $this->pdo->getAttribute(\PDO::ATTR_CONNECTION_STATUS) === self::BAD;
    }

    /** Whether a transaction is open on it, as far as libpq knows. */
    public function isInTransaction(): bool
    {
        return !$this->isLost() && $this->pdo->inTransaction();
    }

    /** Whether its server has spoken of itself lately. */
    public function isFresh(): bool
    {
        return self::now() - $this->saidAt < self::FRESH;
    }

    /** Asks the server whether it is a replica. */
    public function isStandby(): bool
    {
        return $this->hears($this->ask('SELECT ' . self::SERVER)[0]);
    }

    /** Whether it is known to be a replica, because it said so lately or says so now. */
    public function isKnownStandby(): bool
    {
        return $this->isFresh() && $this->isStandby !== null ? $this->isStandby : $this->isStandby();
    }

    /** Asks the server whether it is still good for a role: a sign of life, and of what it is by now. */
    public function stillFits(Role $role): bool
    {
        $wasStandby = $this->isStandby;
        $isStandby = $this->isStandby();

        return match ($role) {
            Role::Writer => !$isStandby,
            // A replica that was promoted is left alone, and a leader that was read from for want of a replica, in the end.
            Role::Reader => $isStandby || $wasStandby !== true && self::now() - $this->madeAt < self::FALLBACK,
        };
    }

    /** Whether a text is a token of HaDsn::position(). */
    public static function isPosition(string $text): bool
    {
        return self::position($text) !== null;
    }

    /** Whether what was written before a position is visible on it. Can be false where it is. */
    public function hasReplayed(string $token): bool
    {
        if ($token === $this->replayed) {
            return true;
        }
        $wanted = self::position($token);
        if ($wanted === null) {
            return false;
        }
        $here = self::position(\HaDsn::position($this->pdo));
        // Another timeline is for HaDsn::connect() to judge, which knows the leader's.
        if ($here === null || $here[0] !== $wanted[0] || $here[1] < $wanted[1]) {
            return false;
        }
        $this->replayed = $token;

        return true;
    }

    /**
     * Begins a transaction, and marks it: the mark goes with it, so that {@see check()} knows it again.
     */
    public function begin(): void
    {
        $this->execute('BEGIN; ' . self::MARK);
    }

    /** Marks one that a framework has begun. It may still begin with `SET TRANSACTION …`. */
    public function mark(): void
    {
        $this->execute(self::MARK);
    }

    /**
     * Looks whether the transaction that {@see begin()} began can be committed. It is a round trip, and worth it: a
     * failed transaction's COMMIT is a ROLLBACK without an error, and a loss that is noticed here is no doubt.
     *
     * @throws TransactionException if the work has ended it, or has hidden a failure
     * @throws NoLeaderException    if the server is a replica by now
     */
    public function check(): void
    {
        if (!$this->isLost() && !$this->pdo->inTransaction()) {
            throw TransactionException::ended();
        }
        try {
            [$mark, $server] = $this->ask("SELECT current_setting('hadsn.transaction', true), " . self::SERVER);
        } catch (\PDOException $error) {
            throw SqlState::of($error) === SqlState::FAILED_TRANSACTION ? TransactionException::failed($error) : $error;
        }
        if ($mark !== 'on') {
            throw TransactionException::ended();
        }
        if ($this->hears($server)) {
            throw new NoLeaderException('transaction(): the server that it ran on does not lead any more');
        }
    }

    /** @throws \PDOException */
    public function commit(): void
    {
        $this->throwExceptions();
        $this->pdo->commit();
    }

    /**
     * Whether an error is the server's no to COMMIT: then nothing of the transaction is there. Only the server can say no, and it
     * says so with an SQLSTATE. One that goes down has said nothing.
     */
    public function isRefusal(\PDOException $error, Verdict $verdict): bool
    {
        return SqlState::of($error) !== null && ($verdict === Verdict::Unrelated || !$this->isLost());
    }

    /** Rolls back what is open, if anything is. */
    public function rollBack(): void
    {
        if ($this->isInTransaction()) {
            $this->throwExceptions();
            $this->pdo->rollBack();
        }
    }

    public function setSavepoint(string $name): void
    {
        $this->execute("SAVEPOINT $name");
    }

    /** @throws TransactionException as {@see check()} */
    public function releaseSavepoint(string $name): void
    {
        if (!$this->isLost() && !$this->pdo->inTransaction()) {
            throw TransactionException::ended();
        }
        try {
            $this->execute("RELEASE SAVEPOINT $name");
        } catch (\PDOException $error) {
            throw match (true) {
                $this->isLost() => $error,
                SqlState::of($error) === SqlState::FAILED_TRANSACTION => TransactionException::failed($error),
                default => TransactionException::ended($error),
            };
        }
    }

    /** @throws TransactionException if the savepoint is gone, because of what the work did before it threw `$because` */
    public function rollBackTo(string $name, \Throwable $because): void
    {
        try {
            $this->execute("ROLLBACK TO SAVEPOINT $name; RELEASE SAVEPOINT $name");
        } catch (\PDOException $error) {
            throw $this->isLost() ? $error : TransactionException::ended($because);
        }
    }

    private function execute(string $sql): void
    {
        $this->throwExceptions();
        $this->pdo->exec($sql);
    }

    /** @return list<string|null> */
    private function ask(string $sql): array
    {
        $this->throwExceptions();
        // The simple protocol: one round trip, and nothing that a pooler would have to know of.
        /** @var \PDOStatement $statement */
        $statement = $this->pdo->prepare($sql, [\PDO::ATTR_EMULATE_PREPARES => true]);
        $statement->execute();
        /** @var list<string|null> $row */
        $row = $statement->fetch(\PDO::FETCH_NUM);

        return $row;
    }

    /** Keeps what the server has said of itself; returns whether it is a replica. */
    private function hears(?string $server): bool
    {
        $this->saidAt = self::now();

        return $this->isStandby = $server === 'standby';
    }

    /** The work may have turned them off. */
    private function throwExceptions(): void
    {
        $this->pdo->setAttribute(\PDO::ATTR_ERRMODE, \PDO::ERRMODE_EXCEPTION);
    }

    /**
     * Timeline and WAL position of a token; null for what is none.
     *
     * @return array{int, int}|null
     */
    private static function position(string $token): ?array
    {
        if (preg_match('~^h1-([1-9][0-9]{0,9})-([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$~D', $token, $found) !== 1) {
            return null;
        }

        return [(int) $found[1], hexdec($found[2]) << 32 | hexdec($found[3])];
    }

    private static function now(): float
    {
        return hrtime(true) / 1e9;
    }
}
