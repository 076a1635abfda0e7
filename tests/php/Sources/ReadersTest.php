<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Php;

/**
 * Which replica of a healthy cluster is read from.
 */
final class ReadersTest extends SourcesTestCase
{
    /**
     * @dataProvider strategies
     */
    public function testEachStrategyReadsFromReplicasOnly(string $url, string $strategy): void
    {
        self::discover($url, "reader=$strategy");

        for ($i = 0; $i < 10; ++$i) {
            self::assertTrue(self::isReplica(Lab::connect(HaDsn::reader())));
            self::assertTrue(self::isReplica(HaDsn::connect('app', 'app', role: 'reader')));
        }
    }

    /** @return iterable<string, array{string, string}> */
    public static function strategies(): iterable
    {
        foreach (['round_robin', 'random', 'least_lag', 'nearest'] as $strategy) {
            yield "$strategy, by Patroni" => [self::BY_PATRONI_SRV, $strategy];
            yield "$strategy, by SQL" => [self::BY_SQL, $strategy];
        }
    }

    /**
     * @dataProvider evenStrategies
     */
    public function testCallsAreSharedEvenly(string $strategy): void
    {
        self::discover(self::BY_PATRONI, "ttl=10m&reader=$strategy");
        $shares = [];
        for ($i = 0; $i < 30_000; ++$i) {
            $dsn = HaDsn::reader();
            $shares[$dsn] = ($shares[$dsn] ?? 0) + 1;
        }

        self::assertEqualsCanonicalizing(array_map(Lab::address(...), Lab::replicas()), array_map(self::addressOf(...), array_keys($shares)));
        foreach ($shares as $dsn => $share) {
            self::assertEqualsWithDelta(15_000, $share, 750, $dsn);
        }
    }

    /** @return iterable<string, array{string}> */
    public static function evenStrategies(): iterable
    {
        yield 'round_robin' => ['round_robin'];
        yield 'random' => ['random'];
    }

    public function testEachProcessSharesItsOwnCallsEvenly(): void
    {
        $code = <<<'PHP'
            $shares = [];
            for ($i = 0; $i < 20; $i++) {
                $dsn = HaDsn::reader();
                $shares[$dsn] = ($shares[$dsn] ?? 0) + 1;
                usleep(1000);
            }
            echo json_encode($shares), "\n";
            PHP;
        $env = ['HADSN_URL' => self::sources(self::BY_PATRONI)];
        $processes = [];
        for ($i = 0; $i < 8; ++$i) {
            $processes[] = Php::start($code, env: $env);
        }
        $all = [];
        foreach ($processes as $process) {
            foreach ($process->wait(30.0)->json() as $dsn => $share) {
                $all[$dsn] = ($all[$dsn] ?? 0) + $share;
            }
        }

        self::assertSame([80, 80], array_values($all));
    }

    /**
     * @dataProvider sourceUrls
     */
    public function testAfterAWriteTheReaderHasIt(string $url): void
    {
        self::discover($url);
        $writer = HaDsn::connect('app', 'app');
        $writer->exec('DROP TABLE IF EXISTS after_a_write');
        $writer->exec('CREATE TABLE after_a_write (n int)');
        for ($n = 1; $n <= 50; ++$n) {
            $writer->exec("INSERT INTO after_a_write VALUES ($n)");
            $after = HaDsn::position($writer);
            if ($n % 5 === 0) {
                HaDsn::invalidate();
            }
            self::assertSame($n, Lab::ask(Lab::connect(HaDsn::reader(after: $after)), 'SELECT max(n) FROM after_a_write'));
        }
    }

    /**
     * @dataProvider sourceUrls
     */
    public function testOnceAReplicaIsKnownToHaveItItIsReadFrom(string $url): void
    {
        self::discover($url);
        $writer = HaDsn::connect('app', 'app');
        $writer->exec('DROP TABLE IF EXISTS after_a_write');
        $writer->exec('CREATE TABLE after_a_write AS SELECT 1 AS n');
        $after = HaDsn::position($writer);

        // The members' own positions are renewed every two seconds.
        self::await(static function () use ($after): bool {
            HaDsn::invalidate();
            $reader = Lab::connect(HaDsn::reader(after: $after));
            self::assertSame(1, Lab::ask($reader, 'SELECT max(n) FROM after_a_write'));

            return self::isReplica($reader);
        }, 'a replica is read from', 10.0);
    }

    /** @return iterable<string, array{string}> */
    public static function sourceUrls(): iterable
    {
        yield 'Patroni' => [self::BY_PATRONI];
        yield 'SQL' => [self::BY_SQL];
    }

    public function testWhatNoReplicaCanHaveIsReadFromTheLeader(): void
    {
        self::discover(self::BY_PATRONI, 'reader_fallback=error');
        [, $timeline] = explode('-', HaDsn::position(HaDsn::connect('app', 'app')));

        $reader = Lab::connect(HaDsn::reader(after: "h1-$timeline-FFFF/0"));
        self::assertFalse(self::isReplica($reader));
        self::assertSame(Lab::address(Lab::leader()), self::server($reader));
    }
}
