<?php

declare(strict_types=1);

namespace HaDsn\Testing;

/**
 * A moment in the application's work: just before or just after a statement takes effect. Made by {@see FakeCluster::before()} and
 * {@see FakeCluster::after()}; one of these methods says what happens then, once.
 *
 *     $cluster->before('INSERT INTO purchase')->switchover();
 *     $cluster->after('COMMIT')->crash(seconds: 1.0);
 */
final class Ambush
{
    /**
     * @internal
     *
     * @param \Closure(array<string, mixed>): void $set
     */
    public function __construct(private readonly \Closure $set) {}

    /**
     * The leader changes in good order. The old leader ends its connections with "terminating connection due to administrator
     * command" (57P01), this one included.
     *
     * @param string|null $to      who leads then; null: the first replica that may
     * @param float       $seconds how long nobody leads
     */
    public function switchover(?string $to = null, float $seconds = 0.0): void
    {
        ($this->set)(['do' => 'switchover', 'to' => $to, 'seconds' => $seconds]);
    }

    /**
     * The member that got the statement is gone, and nobody says goodbye: "server closed the connection unexpectedly", and then
     * "Connection refused". If it led, a replica takes over.
     *
     * @param string|null $to      who leads then; null: the first replica that may
     * @param float       $seconds how long the dead leader is still named
     */
    public function crash(?string $to = null, float $seconds = 0.0): void
    {
        ($this->set)(['do' => 'crash', 'to' => $to, 'seconds' => $seconds]);
    }

    /**
     * The leader changes and the connections to the old one stay, as behind a pooler: writes are refused there, with "cannot execute …
     * in a read-only transaction" (25006), and `pg_is_in_recovery()` is true.
     *
     * @param string|null $to who leads then; null: the first replica that may
     */
    public function demote(?string $to = null): void
    {
        ($this->set)(['do' => 'demote', 'to' => $to]);
    }

    /** The leader is gone and nobody takes over, until {@see FakeCluster::elect()}. */
    public function noLeader(): void
    {
        ($this->set)(['do' => 'noLeader']);
    }

    /** This connection breaks ("server closed the connection unexpectedly"). Nobody else notices, and the leader stays. */
    public function cut(): void
    {
        ($this->set)(['do' => 'cut']);
    }

    /** An administrator ends this connection (57P01). Nobody else notices, and the leader stays. */
    public function terminate(): void
    {
        ($this->set)(['do' => 'terminate']);
    }
}
