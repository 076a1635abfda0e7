<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\Member;
use HaDsn\Topology;
use Illuminate\Console\Command;
use Illuminate\Contracts\Config\Repository;

/**
 * `php artisan hadsn:status`: the clusters of the connections that ask for hadsn, as they are now. Exit code 1: one of them has no leader.
 */
final class StatusCommand extends Command
{
    protected $signature = 'hadsn:status {--json : print it for programs}';

    protected $description = 'Show the PostgreSQL clusters that the connections use: who leads, who follows, how far behind';

    public function handle(Clusters $clusters): int
    {
        if (!\extension_loaded('hadsn')) {
            $this->error('the extension hadsn is not loaded: connections use the host of their own configuration');

            return 1;
        }
        $connections = $this->connections();
        if ($connections === []) {
            $this->error("no connection asks for hadsn: add 'hadsn' => true to one in config/database.php");

            return 1;
        }
        $seen = $reports = [];
        $isWell = true;
        foreach ($connections as $name => $settings) {
            $report = $seen[$settings->cluster] ??= self::look($clusters, $settings);
            $reports[$name] = ['cluster' => $settings->cluster] + $report;
            $isWell = $isWell && $report['leader'] !== null;
        }
        if ($this->option('json')) {
            $this->line(json_encode($reports, JSON_THROW_ON_ERROR | JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES));
        } else {
            foreach ($reports as $name => $report) {
                $this->show($name, $report);
            }
        }

        return $isWell ? 0 : 1;
    }

    /** @return array<string, Settings> by the connection's name */
    private function connections(): array
    {
        /** @var Repository $repository */
        $repository = $this->laravel->make('config');
        /** @var array<string, array<string, mixed>> $configured */
        $configured = $repository->get('database.connections', []);
        $found = [];
        foreach ($configured as $name => $config) {
            $settings = ($config['driver'] ?? null) === 'pgsql' ? Settings::of(['name' => $name] + $config) : null;
            if ($settings !== null) {
                $found[$name] = $settings;
            }
        }

        return $found;
    }

    /** @return array{source: string|null, leader: string|null, timeline: int|null, error: string|null, members: list<array<string, mixed>>} */
    private static function look(Clusters $clusters, Settings $settings): array
    {
        try {
            $clusters->prepare($settings);
            $topology = \HaDsn::topology($settings->cluster);
        } catch (\HaDsn\Exception $e) {
            return ['source' => null, 'leader' => null, 'timeline' => null, 'error' => $e->getMessage(), 'members' => []];
        }

        return [
            'source' => $topology->source,
            'leader' => $topology->leader?->name,
            'timeline' => $topology->timeline,
            'error' => $topology->leader === null ? 'there is no leader' : null,
            'members' => self::members($topology),
        ];
    }

    /** @return list<array<string, mixed>> */
    private static function members(Topology $topology): array
    {
        return array_map(static fn(Member $member): array => [
            'member' => $member->name,
            'role' => $member->role,
            'state' => $member->state,
            'lag' => $member->lag,
            'timeline' => $member->timeline,
            'address' => "$member->host:$member->port",
        ], $topology->members);
    }

    /** @param array{cluster: string, source: string|null, error: string|null, members: list<array<string, mixed>>, ...} $report */
    private function show(string $name, array $report): void
    {
        $this->line("connection $name, cluster {$report['cluster']}" . ($report['source'] === null ? '' : ", {$report['source']}"));
        if ($report['members'] !== []) {
            $this->table(array_keys($report['members'][0]), $report['members']);
        }
        if ($report['error'] !== null) {
            $this->error($report['error']);
        }
    }
}
