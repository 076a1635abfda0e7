<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;

/**
 * Patroni is paused and stopped on the leader, to be upgraded, while its PostgreSQL goes on. After some 18 seconds
 * the others name no leader any more. The tests look at what came of it.
 */
final class MaintenanceTest extends SourcesTestCase
{
    private const CLUSTERS = ['patroni' => self::BY_PATRONI, 'patroni_and_sql' => self::WITH_CREDENTIALS, 'sql' => self::BY_SQL];
    private const WITH_CREDENTIALS = 'patroni+https://app:app@' . self::NODES . '/app';

    private static string $leader;

    /** @var array<string, list<string>> where the writer of each cluster was, or why there was none, turn by turn */
    private static array $writers = [];

    /** @var list<bool> whether the readers were replicas */
    private static array $readers = [];

    private static string $named;
    private static bool $isOneServer;

    public static function setUpBeforeClass(): void
    {
        parent::setUpBeforeClass();
        $leader = Lab::leader();
        self::$leader = Lab::address($leader);
        [$other] = Lab::replicas();
        foreach (self::CLUSTERS as $cluster => $url) {
            HaDsn::configure(self::sources($url, 'failover_timeout=100ms'), $cluster);
            self::turn($cluster);
        }
        $pdo = HaDsn::connect('app', 'app', cluster: 'patroni_and_sql');
        $started = Lab::ask($pdo, 'SELECT pg_postmaster_start_time()');
        Lab::patronictl($other, 'pause', '--wait');
        try {
            self::killPatroni($leader);
            // A worker that begins now, and knows of the leader only what the others say.
            HaDsn::configure(self::sources(self::WITH_CREDENTIALS, 'failover_timeout=100ms'), 'late');
            $begun = microtime(true);
            $dropped = null;
            while ($dropped === null || microtime(true) - $dropped < 2.0) {
                array_map(self::turn(...), [...array_keys(self::CLUSTERS), 'late']);
                $dropped ??= self::isNamed($other, $leader) ? null : microtime(true);
                self::assertLessThan(40.0, microtime(true) - $begun, 'Patroni drops the leader');
                usleep(500_000);
            }
            self::$named = HaDsn::topology('patroni_and_sql')->leader?->host ?? '';
            for ($i = 0; $i < 4; ++$i) {
                self::$readers[] = self::isReplica(Lab::connect(HaDsn::reader('patroni_and_sql')));
            }
        } finally {
            Lab::run('start', $leader, '--wait');
            Lab::patronictl($other, 'resume', '--wait');
        }
        array_map(self::turn(...), [...array_keys(self::CLUSTERS), 'late']);
        self::$isOneServer = Lab::ask($pdo, 'SELECT pg_postmaster_start_time()') === $started;
    }

    /**
     * @dataProvider clusters
     */
    public function testTheWriterStays(string $cluster): void
    {
        self::assertGreaterThan(10, count(self::$writers[$cluster]));
        self::assertSame([self::$leader], array_values(array_unique(self::$writers[$cluster])));
    }

    /** @return iterable<string, array{string}> */
    public static function clusters(): iterable
    {
        yield 'by Patroni, without credentials' => ['patroni'];
        yield 'by Patroni and SQL' => ['patroni_and_sql'];
        yield 'by SQL alone' => ['sql'];
        yield 'for a worker that began after Patroni was stopped' => ['late'];
    }

    public function testTheTopologyNamesIt(): void
    {
        self::assertSame(self::$leader, self::$named);
        self::assertSame([true, true, true, true], self::$readers);
    }

    public function testItsPostgresqlHasGoneOnAllTheTime(): void
    {
        self::assertTrue(self::$isOneServer);
    }

    private static function turn(string $cluster): void
    {
        HaDsn::invalidate($cluster);
        try {
            self::$writers[$cluster][] = self::host(HaDsn::writer($cluster));
            if ($cluster === 'patroni_and_sql') {
                self::$writers[$cluster][] = self::server(HaDsn::connect('app', 'app', cluster: $cluster));
            }
        } catch (HaDsn\Exception $e) {
            self::$writers[$cluster][] = $e->getMessage();
        }
    }

    /** Whether a node's REST API names another one as the leader. */
    private static function isNamed(string $node, string $leader): bool
    {
        $context = stream_context_create(['ssl' => ['cafile' => Lab::certificate('ca.pem')]]);
        $answer = (string) file_get_contents('https://' . Lab::address($node) . ':8008/cluster', context: $context);
        foreach (json_decode($answer, true, 16, JSON_THROW_ON_ERROR)['members'] as $member) {
            if ($member['name'] === $leader && $member['role'] === 'leader') {
                return true;
            }
        }

        return false;
    }

    /** Ends the Patroni of a node, and nothing else of it. */
    private static function killPatroni(string $node): void
    {
        $file = Lab::file($node, 'patroni.yml');
        $pids = [];
        foreach (glob('/proc/[0-9]*/cmdline') ?: [] as $path) {
            $words = explode("\0", (string) @file_get_contents($path));
            if (in_array($file, $words, true) && str_ends_with($words[1] ?? '', '/bin/patroni')) {
                $pids[] = (int) basename(dirname($path));
            }
        }
        self::assertCount(1, $pids);
        posix_kill($pids[0], SIGKILL);
    }
}
