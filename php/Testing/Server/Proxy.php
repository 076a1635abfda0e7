<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * The connections of all members, and the traps.
 *
 * @internal
 */
final class Proxy
{
    /** Each takes two descriptors, and select(2) knows 1024. */
    private const MOST = 450;

    /** @var array<int, Link> */
    private array $links = [];

    /** @var array<int, Trap> */
    private array $traps = [];
    private Cluster $cluster;
    private ?string $mistake = null;

    /** @param string|null $upstream the address of the server behind; null: there is none */
    public function __construct(public readonly Journal $journal, private readonly ?string $upstream) {}

    public function serve(Cluster $cluster): void
    {
        $this->cluster = $cluster;
    }

    public function accept(Node $node): void
    {
        $client = $node->postgres->accept();
        if ($client !== null) {
            $link = new Link($node, $client, $this);
            $this->links[$link->number] = $link;
        }
    }

    /** @return array<int, Link> those that are not over */
    public function links(): array
    {
        return $this->links = array_filter($this->links, static fn(Link $link): bool => !$link->isClosed());
    }

    public function isFull(): bool
    {
        return count($this->links()) > self::MOST;
    }

    /** A connection to the server behind; null: there is none, for this reason. */
    public function connect(?string &$reason): ?Channel
    {
        if ($this->upstream === null) {
            $reason = 'this FakeCluster has no database behind it: see FakeCluster::inFrontOf()';

            return null;
        }
        $socket = stream_socket_client($this->upstream, $code, $message, 5.0, STREAM_CLIENT_CONNECT, stream_context_create(['socket' => ['tcp_nodelay' => true]]));
        if ($socket === false) {
            $reason = "the server $this->upstream that this FakeCluster stands in front of: $message";

            return null;
        }
        $reason = null;

        return new Channel($socket);
    }

    public function leads(Node $node): bool
    {
        return $this->cluster->leads($node);
    }

    public function disguise(string $sql, Node $node): string
    {
        return Disguise::of($sql, $node, $this->cluster);
    }

    /** What the cluster does to the connections of a node. */
    public function affect(Node $node, string $what): void
    {
        foreach ($this->links() as $link) {
            if ($link->node === $node) {
                match ($what) {
                    'terminate' => $link->end(self::terminated()),
                    'cut' => $link->end(''),
                    'depose' => $link->isReplica() === false ? $link->end(self::terminated()) : null,
                    default => $link->alignAtOnce(),
                };
            }
        }
    }

    public function set(Trap $trap): void
    {
        $this->traps[] = $trap;
    }

    public function disarm(): void
    {
        $this->traps = [];
    }

    /** @return list<string> the traps that nobody has stepped into */
    public function armed(): array
    {
        return array_values(array_map(static fn(Trap $trap): string => $trap->describe(), $this->traps));
    }

    /**
     * The traps of a statement that has come, one of each kind, which are set no more. Others whose turn it is are for the next one.
     *
     * @return array{Trap|null, Trap|null} before the statement, and after it
     */
    public function trapsFor(string $sql): array
    {
        // All of them count.
        $due = array_filter($this->traps, static fn(Trap $trap): bool => $trap->isDue($sql));
        $taken = [null, null];
        foreach ($due as $number => $trap) {
            $kind = $trap->isBefore ? 0 : 1;
            if ($taken[$kind] === null) {
                $taken[$kind] = $trap;
                unset($this->traps[$number]);
            }
        }

        return $taken;
    }

    public function spring(Trap $trap, Link $link): void
    {
        /** @var string|null $to */
        $to = $trap->action['to'] ?? null;
        $seconds = (float) ($trap->action['seconds'] ?? 0.0);
        try {
            match ($trap->action['do']) {
                'switchover' => $this->cluster->switchover($to, $seconds),
                'crash' => $this->cluster->crash($link->node->name, $to, $seconds),
                'demote' => $this->cluster->demote($to),
                'noLeader' => $this->cluster->noLeader(),
                'cut' => $link->end(''),
                'terminate' => $link->end(self::terminated()),
            };
        } catch (\DomainException $mistake) {
            // Whoever has set it hears of it at his next question.
            $this->mistake = "{$trap->describe()}: {$mistake->getMessage()}";
        }
    }

    /** What could not be done, once. */
    public function takeMistake(): ?string
    {
        [$mistake, $this->mistake] = [$this->mistake, null];

        return $mistake;
    }

    private static function terminated(): string
    {
        return Wire::fatal('57P01', 'terminating connection due to administrator command');
    }
}
