<?php

declare(strict_types=1);

namespace HaDsn\Console\Command;

use HaDsn\Console\Arguments;
use HaDsn\Console\Cluster;
use HaDsn\Console\Command;
use HaDsn\Console\Doctor\Agreement;
use HaDsn\Console\Doctor\Announcement;
use HaDsn\Console\Doctor\Api;
use HaDsn\Console\Doctor\Clocks;
use HaDsn\Console\Doctor\Configuration;
use HaDsn\Console\Doctor\Endpoints;
use HaDsn\Console\Doctor\FpmPools;
use HaDsn\Console\Doctor\Leader;
use HaDsn\Console\Doctor\Level;
use HaDsn\Console\Doctor\Logins;
use HaDsn\Console\Doctor\Members;
use HaDsn\Console\Doctor\Records;
use HaDsn\Console\Doctor\Report;
use HaDsn\Console\Doctor\SharedMemory;
use HaDsn\Console\Endpoint;
use HaDsn\Console\ExitCode;
use HaDsn\Console\Extension;
use HaDsn\Console\Failure;
use HaDsn\Console\Interrupt;
use HaDsn\Console\Option;
use HaDsn\Console\Origin;
use HaDsn\Console\Source;
use HaDsn\Console\SourceUrl;
use HaDsn\Console\Terminal;
use HaDsn\Console\Text;
use HaDsn\Topology;

/**
 * `hadsn doctor`: everything that a failover will need, looked at before it.
 *
 * @internal
 */
final class Doctor implements Command
{
    /** How long each step waits for the slowest, in seconds. */
    private const PATIENCE = 1.5;

    /** The extension itself gets this much for one look, whatever the source says: doctor has an end. */
    private const LIMITS = ['timeout' => 2.0, 'failover_timeout' => 0.0, 'connect_timeout' => 2.0];

    public static function name(): string
    {
        return 'doctor';
    }

    public static function summary(): string
    {
        return 'looks for what is wrong, and says what to do about it';
    }

    public static function synopsis(): string
    {
        return 'doctor [--user=NAME --password-file=FILE] [--json] [OPTION...]';
    }

    public static function description(): string
    {
        return <<<'TEXT'
            Checks the configuration and who can read it, every REST API endpoint, TLS and how long certificates are good, SRV records, whether the endpoints speak of one cluster and one leader, whether what the members announce can be reached from here, logins, the role of each server by its own word, replication lag and slots, the clocks, shared memory, and the pools of php-fpm. Everything is asked beside each other: it ends within ten seconds even if nobody answers, and within twenty if all of DNS is silent, too. It changes nothing. It also works where the extension is not loaded, which is then the first of its findings.

            Each finding has a level and, unless it is "ok", an arrow with what to do:
            ok       as it should be
            notice   worth knowing; nothing has to be done
            warning  it works, and something that a failover will need is missing
            error    something does not work now

            Run it as the user, and on the machine, of your PHP processes: what they may read and reach is what counts. For logins it needs credentials (--user, --password-file, or what the source string has).

            With --json it is one object: cluster, level (the worst), counts by level, seconds, and findings with id, level, subject, message and advice. The ids stay the same from version to version; docs/command-line.md lists them.

            Examples:
            hadsn doctor
            hadsn doctor --user=app --password-file=/run/secrets/app
            sudo -u www-data hadsn doctor --json | jq -r '.findings[] | select(.level == "error") | .message'
            TEXT;
    }

    public static function options(): array
    {
        return [
            Option::value('shared-dir', 'DIR', 'the directory of hadsn.shared to check, if php-fpm\'s is another than here (default: hadsn.shared, else /dev/shm)'),
            Option::value('fpm-pool', 'PATTERN', 'the files with php-fpm\'s pools (default: where distributions and containers keep them)'),
        ];
    }

    public static function exitCodes(): array
    {
        return [
            ExitCode::DONE => 'nothing worse than a notice',
            ExitCode::UNWELL => 'warnings, and no errors',
            ExitCode::UNUSABLE => 'errors, which the extension not being loaded is, too; wrong usage',
            ExitCode::INTERRUPTED => 'ended by Ctrl-C',
        ];
    }

    public function run(Arguments $arguments, Terminal $terminal): int
    {
        Operands::none($arguments);
        $began = hrtime(true);
        $report = new Report();
        $terminal->progress('configuration ...');
        Configuration::checkExtensions($report);
        $cluster = $this->cluster($arguments, $report);
        if ($cluster !== null) {
            $this->examine($cluster, $report, $terminal);
        }
        $terminal->progress('this machine ...');
        $name = $arguments->value('cluster') ?? 'default';
        SharedMemory::check($arguments->value('shared-dir'), $report);
        FpmPools::check($arguments->value('fpm-pool'), $this->variable($cluster), $name, $report);
        $seconds = (hrtime(true) - $began) / 1e9;
        $terminal->write($arguments->has('json') ? $report->json($name, $seconds) : $report->text($terminal, $name, $seconds));

        return $report->worst()->exitCode();
    }

    private function cluster(Arguments $arguments, Report $report): ?Cluster
    {
        try {
            return Cluster::find($arguments);
        } catch (\HaDsn\ConfigException|Failure $error) {
            $report->add(
                'configuration.source',
                Level::Error,
                'source',
                Text::line($error->getMessage()),
                ($error instanceof Failure ? $error->advice : null) ?? 'mend the source string; the README lists the options, and hadsn --help where it is looked for',
            );

            return null;
        }
    }

    private function examine(Cluster $cluster, Report $report, Terminal $terminal): void
    {
        Configuration::check($cluster, $report);
        $source = $cluster->source;
        $clocks = new Clocks();
        $terminal->progress('endpoints ...');
        $hosts = Records::hosts($source->urls, $source, $report, self::PATIENCE);
        Interrupt::check();
        $apis = (new Endpoints(Source::parse($source->with(self::limits($source))), $report, $clocks, self::PATIENCE))->check($source->urls, $hosts);
        // Several sources may be several sites, which need not agree with each other.
        foreach ($apis as $ofOneSource) {
            Agreement::check($ofOneSource, $report);
        }
        Interrupt::check();
        $terminal->progress('asking the extension ...');
        $topology = Extension::isLoaded() ? $this->topology($cluster, $report) : null;
        $said = $topology === null ? self::announced($source->urls, $hosts, $apis) : Announcement::ofTopology($topology);
        Leader::check($said, $topology, $cluster, $report);
        Interrupt::check();
        $terminal->progress('members ...');
        $nodes = (new Members($source, $report, self::PATIENCE))->check($said, array_merge(...$apis), array_merge(...$hosts));
        Interrupt::check();
        $terminal->progress('logins ...');
        (new Logins($cluster, $report, $clocks))->check($nodes);
        $clocks->report($report);
    }

    /**
     * The members where the extension says nothing: of the first source that names a leader, as hadsn would have it, or else of the first
     * that tells any.
     *
     * @param list<SourceUrl>      $urls
     * @param list<list<Endpoint>> $hosts
     * @param list<list<Api>>      $apis
     *
     * @return list<Announcement>
     */
    private static function announced(array $urls, array $hosts, array $apis): array
    {
        $first = [];
        foreach ($urls as $i => $url) {
            $said = $url->isPatroni()
                ? (isset($apis[$i][0]) ? Announcement::ofApi($apis[$i][0]) : [])
                : array_map(Announcement::ofHost(...), $hosts[$i]);
            if (array_filter($said, static fn(Announcement $one): bool => $one->isLeader()) !== []) {
                return $said;
            }
            $first = $first === [] ? $said : $first;
        }

        return $first;
    }

    /** @return array<string, string> */
    private static function limits(Source $source): array
    {
        $limits = array_filter(self::LIMITS, static fn(float $limit, string $option): bool => $source->seconds($option, INF) > $limit, ARRAY_FILTER_USE_BOTH);

        return array_map(static fn(float $limit): string => (int) $limit . 's', $limits);
    }

    private function topology(Cluster $cluster, Report $report): ?Topology
    {
        try {
            // Shorter waits than an application's.
            $cluster->configure(self::limits($cluster->source));

            return $cluster->topology();
        } catch (\HaDsn\Exception $error) {
            $report->add(
                'cluster.discovery',
                Level::Error,
                'the extension',
                Text::line($error->getMessage()),
                'see to the endpoints and hosts that it names',
            );

            return null;
        }
    }

    /** The environment variable that configures the cluster here. */
    private function variable(?Cluster $cluster): ?string
    {
        if ($cluster === null || !in_array($cluster->origin, [Origin::Environment, Origin::File], true)) {
            return null;
        }

        return 'HADSN_URL' . ($cluster->name === 'default' ? '' : '_' . strtoupper($cluster->name)) . ($cluster->origin === Origin::File ? '_FILE' : '');
    }
}
