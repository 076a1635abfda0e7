<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter\Commands;

use CodeIgniter\CLI\BaseCommand;
use CodeIgniter\CLI\CLI;
use HaDsn\Member;

/**
 * `php spark hadsn:status`: what hadsn knows of a cluster. The exit code is not 0 when it has no leader.
 */
final class Status extends BaseCommand
{
    protected $group = 'Database';
    protected $name = 'hadsn:status';
    protected $description = 'Shows the members of a hadsn cluster, and which of them leads.';
    protected $usage = 'hadsn:status [cluster] [--json]';
    protected $arguments = ['cluster' => 'The cluster that is meant (default: default)'];
    protected $options = ['--json' => 'Print JSON'];

    public function run(array $params): ?int
    {
        if (!extension_loaded('hadsn')) {
            CLI::error('hadsn: the extension is not loaded: install it and name it in php.ini');

            return 1;
        }
        $cluster = is_string($params[0] ?? null) ? $params[0] : 'default';
        $isJson = array_key_exists('json', $params) || CLI::getOption('json') !== null;
        try {
            $topology = \HaDsn::topology($cluster);
        } catch (\HaDsn\Exception $error) {
            CLI::error($error->getMessage());

            return 1;
        }
        $rows = array_map(self::row(...), $topology->members);
        if ($isJson) {
            CLI::write((string) json_encode(
                ['cluster' => $cluster, 'leader' => $topology->leader?->name, 'source' => $topology->source, 'members' => $rows],
                JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR,
            ));
        } else {
            CLI::write("cluster $cluster, as {$topology->source} says");
            CLI::table(array_map(static fn(array $row): array => array_map(strval(...), array_values($row)), $rows), ['member', 'role', 'state', 'lag', 'timeline', 'address']);
            CLI::write($topology->leader === null ? 'there is no leader' : "{$topology->leader->name} leads");
        }

        // In 4.1 a 0 would be a failure too.
        return $topology->leader === null ? 1 : null;
    }

    /** @return array<string, string|int|null> lag: bytes; null: not known */
    private static function row(Member $member): array
    {
        return [
            'member' => $member->name,
            'role' => $member->role,
            'state' => $member->state,
            'lag' => $member->lag,
            'timeline' => $member->timeline,
            'address' => str_contains($member->host, ':') ? "[$member->host]:$member->port" : "$member->host:$member->port",
        ];
    }
}
