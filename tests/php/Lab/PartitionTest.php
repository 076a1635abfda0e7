<?php

declare(strict_types=1);

namespace HaDsn\Tests\Lab;

use HaDsn;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;

/**
 * A node whose packets get lost: it neither refuses nor answers.
 */
final class PartitionTest extends LabTestCase
{
    protected function tearDown(): void
    {
        Lab::run('heal', 'all');
        parent::tearDown();
    }

    public function testTheRestApiOfAPartitionedLeaderCostsTheHedgeOnly(): void
    {
        $leader = Lab::address(Lab::leader());
        $others = array_diff(['127.0.0.11', '127.0.0.12', '127.0.0.13'], [$leader]);
        HaDsn::configure("patroni://$leader," . implode(',', $others) . '/app?timeout=20s&hedge=200ms');
        Lab::run('partition', 'leader');

        $seconds = self::seconds(static fn() => self::assertSame($leader, self::host(HaDsn::writer())));
        $answeredBy = HaDsn::status()['clusters']['default']['answered_by'];

        // Nobody has taken over yet: the others still know the old leader.
        self::assertGreaterThanOrEqual(0.2, $seconds);
        self::assertLessThan(3.0, $seconds);
        self::assertContains($answeredBy, array_map(static fn(string $host): string => "patroni $host:8008", $others));
    }

    public function testConnectingToAPartitionedNodeEndsInSeconds(): void
    {
        HaDsn::configure(Lab::URL . '?tcp_user_timeout=1000');
        $dsn = HaDsn::reader();
        Lab::run('partition', 'pg' . substr(self::host($dsn), -1));

        $seconds = self::seconds(static fn() => self::assertThrows(\PDOException::class, static fn() => new \PDO($dsn, 'app', 'app')));

        // PDO's own limit is 30 s.
        self::assertLessThan(10.0, $seconds);
    }
}
