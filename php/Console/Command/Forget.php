<?php

declare(strict_types=1);

namespace HaDsn\Console\Command;

use HaDsn\Console\Arguments;
use HaDsn\Console\Cluster;
use HaDsn\Console\Command;
use HaDsn\Console\ExitCode;
use HaDsn\Console\Terminal;
use HaDsn\Console\Text;

/**
 * `hadsn forget`: after a restore to an earlier point in time.
 *
 * @internal
 */
final class Forget implements Command
{
    public static function name(): string
    {
        return 'forget';
    }

    public static function summary(): string
    {
        return 'forgets which leaders and timelines were seen, and looks anew';
    }

    public static function synopsis(): string
    {
        return 'forget [--json] [OPTION...]';
    }

    public static function description(): string
    {
        return <<<'TEXT'
            hadsn does not follow a leader on a lower timeline than it has seen. After a restore to an earlier point in time, or when a cluster was made anew, it takes the new leader by itself once every endpoint that answers agrees. This command is for those who know and don't want to wait for the last endpoint: it calls HaDsn::forget(), and then looks who leads.

            What is remembered is shared by the PHP processes of one user on one host, in the directory that hadsn.shared names: run it as that user. A version of the extension without that setting remembers in each process, which this command can't reach: it says so, and "systemctl reload php-fpm" and restarting the workers does it there.

            Examples:
            sudo -u www-data vendor/bin/hadsn forget
            TEXT;
    }

    public static function options(): array
    {
        return [];
    }

    public static function exitCodes(): array
    {
        return [
            ExitCode::DONE => 'forgotten, and there is a leader',
            ExitCode::UNWELL => 'forgotten, and there is no leader, or no source answers',
            ExitCode::UNUSABLE => 'wrong usage or configuration, or the extension is not loaded',
            ExitCode::INTERRUPTED => 'ended by Ctrl-C',
        ];
    }

    public function run(Arguments $arguments, Terminal $terminal): int
    {
        Operands::none($arguments);
        $cluster = Cluster::find($arguments);
        $cluster->configure();
        \HaDsn::forget($cluster->name);
        $shared = ini_get('hadsn.shared');
        $isShared = $shared !== false && $shared !== 'off';
        $terminal->progress('looking for the leader ...');
        $leader = $error = null;
        try {
            $leader = $cluster->topology()->leader;
        } catch (\HaDsn\DiscoveryException $silence) {
            $error = $silence->getMessage();
        }
        if ($arguments->has('json')) {
            $terminal->write(Text::json(['cluster' => $cluster->name, 'shared' => $isShared, 'leader' => $leader?->name, 'timeline' => $leader?->timeline, 'error' => $error]));
        } else {
            $found = match (true) {
                $leader !== null => 'the leader is ' . Text::safe($leader->name) . ($leader->timeline === null ? '' : " on timeline $leader->timeline"),
                $error !== null => Text::line($error),
                default => 'there is no leader',
            };
            $terminal->write("cluster {$cluster->name}: forgotten; $found\n");
            if (!$isShared) {
                $terminal->complain('the extension keeps its memory in each process: reload php-fpm and restart workers that run for long');
            }
        }

        return $leader === null ? ExitCode::UNWELL : ExitCode::DONE;
    }
}
