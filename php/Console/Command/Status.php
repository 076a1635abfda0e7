<?php

declare(strict_types=1);

namespace HaDsn\Console\Command;

use HaDsn\Console\Arguments;
use HaDsn\Console\Cluster;
use HaDsn\Console\Command;
use HaDsn\Console\ExitCode;
use HaDsn\Console\Members;
use HaDsn\Console\Terminal;
use HaDsn\Console\Text;

/**
 * `hadsn status`: the members, once.
 *
 * @internal
 */
final class Status implements Command
{
    /** How long a member may take to answer, in seconds. */
    private const PATIENCE = 1.0;

    public static function name(): string
    {
        return 'status';
    }

    public static function summary(): string
    {
        return 'the members of the cluster: role, state, lag, timeline, address, reachable';
    }

    public static function synopsis(): string
    {
        return 'status [--json] [OPTION...]';
    }

    public static function description(): string
    {
        return <<<'TEXT'
            Prints a table of the members as the extension sees them, in Patroni's words. LAG is what a replica has not replayed yet; TL is the timeline; "-" stands for what is unknown or does not apply. ADDRESS is where an application connects to, after the options map and port.

            REACHABLE says whether a PostgreSQL server, or a pooler, answers there to this host within a second; nobody logs in. A server that is frozen still takes connections and is not reachable all the same.

            With --json it is one object: cluster, leader, timeline, source, answered_by, age (seconds), error, and members with name, role, state, lag (bytes), timeline, host, port, announced, reachable, reason and tags. What is unknown is null. If nobody leads, error says why; if nobody answers, members is empty too.

            Examples:
            hadsn status
            hadsn status --json | jq -r .leader
            TEXT;
    }

    public static function options(): array
    {
        return [];
    }

    public static function exitCodes(): array
    {
        return [
            ExitCode::DONE => 'there is a leader',
            ExitCode::UNWELL => 'there is no leader, or no source answers',
            ExitCode::UNUSABLE => 'wrong usage or configuration, or the extension is not loaded',
            ExitCode::INTERRUPTED => 'ended by Ctrl-C',
        ];
    }

    public function run(Arguments $arguments, Terminal $terminal): int
    {
        Operands::none($arguments);
        $cluster = Cluster::find($arguments);
        $terminal->progress('asking the cluster ...');
        try {
            $members = Members::look($cluster, self::PATIENCE);
        } catch (\HaDsn\DiscoveryException $error) {
            if (!$arguments->has('json')) {
                throw $error;
            }
            $terminal->write(Text::json(self::failed($cluster, $error)));

            return ExitCode::UNWELL;
        }
        $terminal->write($arguments->has('json') ? Text::json($members->toArray()) : implode("\n", $members->lines($terminal)) . "\n");

        return $members->hasLeader() ? ExitCode::DONE : ExitCode::UNWELL;
    }

    /**
     * What is said in JSON when nobody answers.
     *
     * @return array<string, mixed>
     */
    public static function failed(Cluster $cluster, \HaDsn\DiscoveryException $error): array
    {
        return [
            'cluster' => $cluster->name,
            'leader' => null,
            'timeline' => null,
            'source' => $cluster->source->display(),
            'answered_by' => null,
            'age' => null,
            'error' => $error->getMessage(),
            'members' => [],
        ];
    }
}
