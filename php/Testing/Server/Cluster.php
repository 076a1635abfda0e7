<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * Who leads, and how that changes. Says what Patroni would say.
 *
 * @internal
 */
final class Cluster
{
    /** Who is named the leader; it may be dead. */
    private ?string $leader;
    private int $timeline = 1;

    /** When somebody else is to lead, and who. */
    private ?float $dueAt = null;
    private ?string $next = null;

    /**
     * @param array<string, Node>                             $nodes  the first one leads
     * @param \Closure(Node, 'terminate'|'cut'|'depose'|'align'): void $effect on the connections of a node
     */
    public function __construct(private readonly array $nodes, public readonly string $system, private readonly \Closure $effect)
    {
        // The key of one that is called "1" is a number.
        $this->leader = (string) array_key_first($nodes);
    }

    public function node(string $name): Node
    {
        return $this->nodes[$name] ?? throw new \DomainException("member \"$name\": there is no such member: " . implode(', ', array_keys($this->nodes)));
    }

    public function leader(): ?string
    {
        return $this->leader;
    }

    public function timeline(): int
    {
        return $this->timeline;
    }

    public function leads(Node $node): bool
    {
        return $node->name === $this->leader && $node->isUp;
    }

    /** When {@see tick()} is to be called. */
    public function dueAt(): ?float
    {
        return $this->dueAt;
    }

    public function tick(float $now): void
    {
        if ($this->dueAt !== null && $this->next !== null && $now >= $this->dueAt) {
            $this->promote($this->next);
        }
    }

    public function switchover(?string $to, float $seconds): void
    {
        $this->settle();
        $old = $this->runningLeader();
        $to = $this->candidate($to);
        if ($seconds > 0.0) {
            $this->leader = null;
            $old->isStarting = true;
            $this->later($to, $seconds);
        } else {
            $this->promote($to);
        }
        ($this->effect)($old, 'terminate');
    }

    /** Kept connections become those of a replica. */
    public function demote(?string $to): void
    {
        $this->settle();
        $this->runningLeader();
        $this->promote($this->candidate($to));
    }

    public function crash(?string $name, ?string $to, float $seconds): void
    {
        $this->settle();
        $node = $name === null ? $this->runningLeader() : $this->node($name);
        if ($name !== null && !$this->leads($node)) {
            $this->stop($name);

            return;
        }
        $to = $this->candidate($to);
        $node->open(false);
        ($this->effect)($node, 'cut');
        if ($seconds > 0.0) {
            $this->later($to, $seconds);
        } else {
            $this->promote($to);
        }
    }

    public function noLeader(): void
    {
        $this->settle();
        if ($this->leader !== null) {
            $this->stop($this->leader);
        }
    }

    public function elect(?string $to): void
    {
        $isUnderWay = $this->dueAt !== null;
        $this->settle();
        if ($isUnderWay && ($to === null || $to === $this->leader)) {
            return;
        }
        if ($this->leader !== null && $this->node($this->leader)->isUp && !$this->node($this->leader)->isFrozen) {
            $this->switchover($to, 0.0);
        } else {
            $this->promote($this->candidate($to));
        }
    }

    public function stop(string $name): void
    {
        $node = $this->node($name);
        $this->settle();
        if ($this->leader === $name) {
            $this->leader = null;
        }
        $node->open(false);
        $node->isListed = false;
        ($this->effect)($node, 'cut');
    }

    public function start(string $name): void
    {
        $node = $this->node($name);
        $node->open(true);
        $node->isListed = true;
        $node->isStarting = $node->isFrozen = false;
        $node->timeline = $this->timeline;
    }

    public function freeze(string $name): void
    {
        $this->node($name)->isFrozen = true;
    }

    /** It wakes up. If somebody else leads by now it notices before it does anything that was sent to it meanwhile. */
    public function thaw(string $name): void
    {
        $node = $this->node($name);
        $node->isFrozen = false;
        if ($node->isUp && !$this->leads($node)) {
            $node->timeline = $this->timeline;
            ($this->effect)($node, 'depose');
        }
    }

    /**
     * The answer to `GET /cluster`.
     *
     * @return array<string, mixed>
     */
    public function describe(): array
    {
        $members = [];
        foreach ($this->nodes as $node) {
            if ($node->isListed) {
                $members[] = $this->describeMember($node);
            }
        }

        return ['members' => $members, 'scope' => 'app'];
    }

    /**
     * The answer to `GET /patroni` of a node.
     *
     * @return array<string, mixed>
     */
    public function describeItself(Node $node): array
    {
        $leads = $this->leads($node);

        return [
            'state' => $node->isStarting ? 'starting' : 'running',
            'role' => $leads ? 'primary' : 'replica',
            'server_version' => 150004,
            'timeline' => $node->timeline,
            'database_system_identifier' => $this->system,
            'dcs_last_seen' => time(),
            'tags' => (object) $node->tags,
            'patroni' => ['version' => '4.1.5', 'scope' => 'app', 'name' => $node->name],
        ];
    }

    /** @return array<string, mixed> */
    private function describeMember(Node $node): array
    {
        $leads = $node->name === $this->leader;
        $member = [
            'name' => $node->name,
            'role' => $leads ? 'leader' : $node->role,
            'state' => $this->state($node),
            'api_url' => "http://127.0.0.1:{$node->api->port}/patroni",
            'host' => $node->host,
            'port' => $node->port,
            'timeline' => $node->timeline,
        ];
        if (!$leads) {
            $member['lag'] = $node->lag ?? 'unknown';
        }

        return $node->tags === [] ? $member : $member + ['tags' => $node->tags];
    }

    private function state(Node $node): string
    {
        $hasLeader = $this->leader !== null && $this->node($this->leader)->isUp;

        return match (true) {
            $node->isStarting => 'starting',
            // Without a leader nobody streams.
            $node->name === $this->leader, !$hasLeader => 'running',
            default => 'streaming',
        };
    }

    private function runningLeader(): Node
    {
        $leader = $this->leader === null ? null : $this->node($this->leader);

        return $leader !== null && $leader->isUp ? $leader : throw new \DomainException('nobody leads: elect() somebody first');
    }

    private function candidate(?string $to): string
    {
        if ($to !== null) {
            $node = $this->node($to);
            if ($to === $this->leader) {
                throw new \DomainException("member \"$to\" leads already");
            }

            return $node->mayLead() ? $to : throw new \DomainException("member \"$to\" can't lead: it is down, frozen, or has the tag nofailover");
        }
        foreach ($this->nodes as $node) {
            if ($node->name !== $this->leader && $node->mayLead()) {
                return $node->name;
            }
        }
        throw new \DomainException('there is no replica that could lead: start() one, or say noLeader()');
    }

    private function promote(string $to): void
    {
        $this->dueAt = $this->next = null;
        $old = $this->leader === null ? null : $this->node($this->leader);
        if ($old !== null && !$old->isUp) {
            // Its key has expired with the leader's.
            $old->isListed = false;
        }
        $this->leader = $to;
        ++$this->timeline;
        foreach ($this->nodes as $node) {
            if ($node->isUp && !$node->isFrozen) {
                $node->timeline = $this->timeline;
                $node->isStarting = false;
                ($this->effect)($node, 'align');
            }
        }
    }

    private function later(string $to, float $seconds): void
    {
        $this->next = $to;
        $this->dueAt = microtime(true) + $seconds;
    }

    /** A change that is under way comes first. */
    private function settle(): void
    {
        $this->tick(INF);
    }
}
