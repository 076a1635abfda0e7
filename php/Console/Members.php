<?php

declare(strict_types=1);

namespace HaDsn\Console;

use HaDsn\Console\Net\Names;
use HaDsn\Console\Net\Postgres;
use HaDsn\Member;
use HaDsn\Topology;

/**
 * The members of a cluster at one moment, and whether they can be reached from here: what `status` and `watch` show.
 *
 * @internal
 */
final class Members
{
    /** What somebody calls himself takes no more columns than that. */
    private const WIDEST = 40;

    /**
     * @param list<array{member: Member, address: Endpoint, reachable: bool, reason: string|null, seconds: float}> $rows
     */
    private function __construct(
        private readonly Topology $topology,
        private readonly array $rows,
        private readonly Cluster $cluster,
        /** Why the last look gave no answer; the topology is an older one then. */
        private readonly ?string $error,
        /** Why nobody leads. */
        private readonly ?string $why,
    ) {}

    /**
     * @throws \HaDsn\DiscoveryException if no source answers
     */
    public static function look(Cluster $cluster, float $timeout): self
    {
        $cluster->configure(['failover_timeout' => '0s']);
        $topology = $cluster->topology();
        $why = $topology->leader === null ? $cluster->whyNobodyLeads() : null;
        $endpoints = [];
        foreach ($topology->members as $member) {
            $endpoints[] = $cluster->source->route(new Endpoint($member->host, $member->port));
        }
        $rows = [];
        $addresses = $cluster->source->permitted(Names::resolve(array_values(array_column($endpoints, 'host')), $timeout));
        foreach (Postgres::knock($endpoints, $addresses, $timeout) as $i => $knock) {
            $rows[] = [
                'member' => $topology->members[$i],
                'address' => $knock->endpoint,
                'reachable' => $knock->isReachable(),
                'reason' => $knock->error,
                'seconds' => $knock->seconds,
            ];
        }

        return new self($topology, $rows, $cluster, $cluster->status()['error'] ?? null, $why);
    }

    public function hasLeader(): bool
    {
        return $this->topology->leader !== null;
    }

    /**
     * For a terminal.
     *
     * @return list<string>
     */
    public function lines(Terminal $terminal): array
    {
        $table = new Table(['MEMBER', 'ROLE', 'STATE', 'LAG', 'TL', 'ADDRESS', 'REACHABLE'], [3, 4]);
        foreach ($this->rows as $row) {
            $member = $row['member'];
            $isLeader = $member === $this->topology->leader || $member->name === $this->topology->leader?->name;
            $table->add([
                [Text::cut(Text::safe($member->name), self::WIDEST), $isLeader ? Color::Good : null],
                [Text::cut(Text::safe($member->role), self::WIDEST), $isLeader ? Color::Good : null],
                [Text::cut(Text::safe($member->state), self::WIDEST), in_array($member->state, ['running', 'streaming', 'in archive recovery'], true) ? null : Color::Warning],
                $member->lag === null ? '-' : Text::bytes($member->lag),
                $member->timeline === null ? '-' : (string) $member->timeline,
                (string) $row['address'],
                $row['reachable']
                    ? ['yes, ' . Text::duration($row['seconds']), null]
                    : ['no: ' . $row['reason'], Color::Error],
            ]);
        }
        $leader = $this->topology->leader;

        $heading = [
            'cluster ' . Text::safe($this->topology->cluster) . ', ' . ($leader === null
                ? $terminal->colored('no leader', Color::Error)
                : 'leader ' . Text::safe($leader->name)) . ', seen ' . Text::duration($this->topology->age) . ' ago by ' . Text::safe($this->answeredBy()),
            ...($this->why === null ? [] : [$this->why]),
            // The last good answer serves on for a while (max_stale).
            ...($this->error === null ? [] : [$terminal->colored('nobody answers now', Color::Error) . ': ' . Text::line($this->error)]),
            '',
        ];

        return [
            ...$heading,
            ...($this->rows === [] ? ['no member announces an address'] : $table->lines($terminal)),
        ];
    }

    /** @return array<string, mixed> for JSON */
    public function toArray(): array
    {
        return [
            'cluster' => $this->topology->cluster,
            'leader' => $this->topology->leader?->name,
            'timeline' => $this->topology->timeline,
            'source' => $this->cluster->source->display(),
            'answered_by' => $this->answeredBy(),
            'age' => round($this->topology->age, 3),
            'error' => $this->error ?? $this->why,
            'members' => array_map(static fn(array $row): array => [
                'name' => $row['member']->name,
                'role' => $row['member']->role,
                'state' => $row['member']->state,
                'lag' => $row['member']->lag,
                'timeline' => $row['member']->timeline,
                'host' => $row['address']->host,
                'port' => $row['address']->port,
                'announced' => ['host' => $row['member']->host, 'port' => $row['member']->port],
                'reachable' => $row['reachable'],
                'reason' => $row['reason'],
                'tags' => (object) $row['member']->tags,
            ], $this->rows),
        ];
    }

    private function answeredBy(): string
    {
        return (string) ($this->cluster->status()['answered_by'] ?? $this->topology->source);
    }
}
