<?php

declare(strict_types=1);

namespace HaDsn\Console\Command;

use HaDsn\Console\Arguments;
use HaDsn\Console\Cluster;
use HaDsn\Console\Command;
use HaDsn\Console\Endpoint;
use HaDsn\Console\ExitCode;
use HaDsn\Console\Failure;
use HaDsn\Console\Interrupt;
use HaDsn\Console\Net\Names;
use HaDsn\Console\Option;
use HaDsn\Console\Table;
use HaDsn\Console\Terminal;
use HaDsn\Console\Text;

/**
 * `hadsn bench`: what connecting costs on this host.
 *
 * @internal
 */
final class Bench implements Command
{
    /** How many calls are timed at a stretch where one is too short for the clock. */
    private const CALLS = 1000;

    public static function name(): string
    {
        return 'bench';
    }

    public static function summary(): string
    {
        return 'connects through hadsn and directly, side by side, and compares';
    }

    public static function synopsis(): string
    {
        return 'bench [--count=N] [--time=DURATION] [--json] [OPTION...]';
    }

    public static function description(): string
    {
        return <<<'TEXT'
            Connects to the leader in rounds; in each round once in every way, in changing order, so that what disturbs the machine disturbs all of them alike:

            direct: new PDO() with the leader's address, as if it never changed
            writer: new PDO(HaDsn::writer())
            connect: HaDsn::connect()
            hadsn: new PDO('hadsn:')

            It ends after --count rounds or after --time, whichever is first, and prints the median, the 95th percentile and the shortest time of each way, and the median in comparison with "direct". The last line is a call of HaDsn::writer() alone, while its answer is known.

            Every connection is a login: PostgreSQL starts a process for each, and writes it to its log if log_connections is on. Nothing is written to the database.

            Examples:
            hadsn bench --user=app --password-file=/run/secrets/app
            hadsn bench --count=1000 --time=60s --json
            TEXT;
    }

    public static function options(): array
    {
        return [
            Option::value('count', 'N', 'rounds, 1 to 100000 (default: 100)'),
            Option::value('time', 'DURATION', 'the longest that it may take: 100ms to 10m (default: 10s)'),
        ];
    }

    public static function exitCodes(): array
    {
        return [
            ExitCode::DONE => 'measured',
            ExitCode::UNWELL => 'there is no leader, or a connection can\'t be made',
            ExitCode::UNUSABLE => 'wrong usage or configuration, or the extension is not loaded',
            ExitCode::INTERRUPTED => 'ended by Ctrl-C',
        ];
    }

    public function run(Arguments $arguments, Terminal $terminal): int
    {
        Operands::none($arguments);
        $count = $arguments->number('count', 100, 1, 100_000);
        $time = $arguments->duration('time', 10.0, 0.1, 600.0);
        $cluster = Cluster::find($arguments);
        $cluster->configure();
        $terminal->progress('looking for the leader ...');
        $ways = $this->ways($cluster);
        $seconds = array_fill_keys(array_keys($ways), []);
        $until = hrtime(true) + (int) ($time * 1e9);
        $names = array_keys($ways);
        // The first connection of each finds the program's code cold: it does not count.
        foreach ($ways as $way) {
            $way();
        }
        for ($round = 0; $round < $count && ($round === 0 || hrtime(true) < $until); ++$round) {
            foreach ($names as $name) {
                Interrupt::check();
                $start = hrtime(true);
                $connection = $ways[$name]();
                $seconds[$name][] = (hrtime(true) - $start) / 1e9;
                // Its end is not measured.
                $connection = null;
            }
            $names[] = array_shift($names);
            $terminal->progress(sprintf('round %d of %d, %s left at most', $round + 1, $count, Text::duration(max(0.0, ($until - hrtime(true)) / 1e9))));
        }
        $call = $this->call($cluster->name);
        $terminal->write($arguments->has('json') ? $this->json($cluster, $round, $seconds, $call) : $this->table($terminal, $round, $seconds, $call));

        return ExitCode::DONE;
    }

    /** @return array<string, \Closure(): \PDO> */
    private function ways(Cluster $cluster): array
    {
        $leader = $cluster->topology()->leader ?? throw Failure::unwell("cluster {$cluster->name}: there is no leader to connect to");
        $server = $cluster->source->route(new Endpoint($leader->host, $leader->port));
        $addresses = Names::resolve([$server->host], 2.0)[$server->host];
        $dsn = $cluster->dsn($server, Endpoint::isAddress($server->host) || is_string($addresses) ? null : $addresses[0]);
        [$name, $user] = [$cluster->name, $cluster->user()];
        $options = [\PDO::ATTR_TIMEOUT => 3, \PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION];

        return [
            'direct' => static fn(): \PDO => new \PDO($dsn, $user, $cluster->password(), $options),
            'writer' => static fn(): \PDO => new \PDO(\HaDsn::writer($name), $user, $cluster->password(), $options),
            'connect' => static fn(): \PDO => \HaDsn::connect($user, $cluster->password(), $options, 'writer', $name),
        ] + (in_array(ini_get('hadsn.pdo_dsn'), ['0', '', 'off'], true) ? [] : [
            'hadsn' => static fn(): \PDO => new \PDO("hadsn:cluster=$name", $user, $cluster->password(), $options),
        ]);
    }

    /** Seconds of a call that finds its answer. */
    private function call(string $cluster): float
    {
        $best = INF;
        for ($i = 0; $i < 20; ++$i) {
            $start = hrtime(true);
            for ($j = 0; $j < self::CALLS; ++$j) {
                \HaDsn::writer($cluster);
            }
            $best = min($best, (hrtime(true) - $start) / 1e9 / self::CALLS);
        }

        return $best;
    }

    /** @param array<string, list<float>> $seconds */
    private function table(Terminal $terminal, int $rounds, array $seconds, float $call): string
    {
        $titles = ['direct' => 'new PDO(), direct', 'writer' => 'new PDO(HaDsn::writer())', 'connect' => 'HaDsn::connect()', 'hadsn' => "new PDO('hadsn:')"];
        $table = new Table(['A CONNECTION', 'MEDIAN', '95%', 'SHORTEST', 'RATIO'], [1, 2, 3, 4]);
        $direct = self::quantile($seconds['direct'], 0.5);
        foreach ($seconds as $name => $list) {
            $table->add([
                $titles[$name],
                Text::duration(self::quantile($list, 0.5)),
                Text::duration(self::quantile($list, 0.95)),
                Text::duration(min($list)),
                sprintf('%.2f', self::quantile($list, 0.5) / $direct),
            ]);
        }

        return implode("\n", $table->lines($terminal)) . "\n\n" . Text::count($rounds, 'round') . '; a call of HaDsn::writer() alone: ' . Text::duration($call) . "\n";
    }

    /** @param array<string, list<float>> $seconds */
    private function json(Cluster $cluster, int $rounds, array $seconds, float $call): string
    {
        $direct = self::quantile($seconds['direct'], 0.5);
        $ways = [];
        foreach ($seconds as $name => $list) {
            $median = self::quantile($list, 0.5);
            $ways[$name] = ['median' => $median, 'p95' => self::quantile($list, 0.95), 'min' => min($list), 'ratio' => round($median / $direct, 3)];
        }

        return Text::json(['cluster' => $cluster->name, 'rounds' => $rounds, 'seconds' => $ways, 'writer_call_seconds' => $call]);
    }

    /** @param list<float> $values */
    private static function quantile(array $values, float $part): float
    {
        sort($values);

        return $values[(int) floor((count($values) - 1) * $part + 0.5)];
    }
}
