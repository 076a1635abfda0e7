<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;

/**
 * The leader's machine dies. For about 20 seconds nobody leads, and no replica streams.
 */
final class LeaderCrashTest extends SourcesTestCase
{
    private const CLUSTERS = ['patroni' => self::BY_PATRONI, 'patroni_srv' => self::BY_PATRONI_SRV, 'sql' => self::BY_SQL];

    public function testReadsGoOnAllTheTime(): void
    {
        foreach (self::CLUSTERS as $cluster => $url) {
            HaDsn::configure(self::sources($url), $cluster);
            HaDsn::writer($cluster);
        }
        $old = Lab::address(Lab::leader());
        $crash = Lab::start('kill', 'leader');
        $begun = microtime(true);
        $reads = $longest = array_fill_keys(array_keys(self::CLUSTERS), 0.0);
        $moved = null;
        // And a little longer than until another one leads.
        while ($moved === null || microtime(true) - $moved < 2.0) {
            foreach (array_keys(self::CLUSTERS) as $i => $cluster) {
                if ($reads[$cluster] % 2 === 1) {
                    HaDsn::invalidate($cluster);
                }
                $seconds = self::seconds(static function () use ($cluster, $old): void {
                    $reader = HaDsn::reader($cluster);
                    self::assertNotSame($old, self::addressOf($reader));
                    self::assertSame(self::addressOf($reader), self::server(Lab::connect($reader)));
                });
                $longest[$cluster] = max($longest[$cluster], $seconds);
                ++$reads[$cluster];
            }
            self::assertLessThan(60.0, microtime(true) - $begun, 'another node leads');
            $moved ??= self::leads($old) ? microtime(true) : null;
            usleep(50_000);
        }
        $crash->wait(30.0);

        self::assertGreaterThan(10.0, $moved - $begun, 'it was a while without a leader');
        foreach (array_keys(self::CLUSTERS) as $cluster) {
            self::assertGreaterThan(50, $reads[$cluster], $cluster);
            self::assertLessThan(3.0, $longest[$cluster], $cluster);
            $pdo = HaDsn::connect('app', 'app', cluster: $cluster);
            $pdo->exec('CREATE TEMPORARY TABLE proof ()');
            self::assertSame([Lab::address(Lab::leader()), Lab::address(Lab::leader())], [
                self::server($pdo),
                self::addressOf(HaDsn::writer($cluster)),
            ], $cluster);
        }
    }

    /** Whether a node other than the old leader is a primary. */
    private static function leads(string $old): bool
    {
        foreach (array_diff(explode(',', self::NODES), [$old]) as $node) {
            if (!self::isReplica(Lab::connect("pgsql:host=$node;dbname=app"))) {
                return true;
            }
        }

        return false;
    }
}
