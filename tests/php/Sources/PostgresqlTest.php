<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;

/**
 * postgresql://: the servers themselves are asked what they are.
 */
final class PostgresqlTest extends SourcesTestCase
{
    private const WITHOUT_CREDENTIALS = 'postgresql://' . self::NODES . '/app';

    public function testWithTheCredentialsOfTheUrlBothRolesAreFound(): void
    {
        self::discover(self::BY_SQL);

        self::assertBothRolesAreFound();
        self::assertMatchesRegularExpression('/^postgresql 127\.0\.0\.1[123]:5432$/', self::statusOf()['answered_by']);
        self::assertStringNotContainsString('app@', self::statusOf()['source']);
    }

    public function testTheTopologyIsWhatTheServersSay(): void
    {
        self::discover(self::BY_SQL);
        $leader = Lab::connect(HaDsn::writer(), 'postgres', 'postgres');
        $status = Lab::status();
        $topology = HaDsn::topology();

        self::assertSame((string) Lab::ask($leader, 'SELECT system_identifier FROM pg_control_system()'), $topology->systemIdentifier);
        self::assertSame(Lab::address($status['leader']), $topology->leader?->host);
        self::assertCount(3, $topology->members);
        foreach ($topology->members as $member) {
            [$node] = array_values(array_filter($status['nodes'], static fn(array $node): bool => $node['address'] === $member->host));
            self::assertSame(
                ["{$node['address']}:5432", $node['role'], $node['state'], $node['timeline'], 5432],
                [$member->name, $member->role, $member->state, $member->timeline, $member->port],
            );
            self::assertSame([[], null], [$member->tags, $member->apiUrl], 'what only Patroni knows');
            if ($node['role'] === 'leader') {
                self::assertNull($member->lag);
            } else {
                self::assertGreaterThanOrEqual(0, $member->lag);
            }
        }
        self::assertSame($topology->leader->timeline, $topology->timeline);
    }

    public function testWithTheCredentialsOfConnectTheyAreFoundToo(): void
    {
        self::discover(self::WITHOUT_CREDENTIALS);
        $leader = Lab::address(Lab::leader());

        self::assertSame($leader, self::server(HaDsn::connect('app', 'app')));
        self::assertTrue(self::isReplica(HaDsn::connect('app', 'app', role: 'reader')));
        self::assertSame($leader, self::addressOf(self::writerNow()), 'they hold for the rest of the request');
    }

    public function testPdosOwnDsnHandsThemOver(): void
    {
        self::discover(self::WITHOUT_CREDENTIALS);

        self::assertSame(Lab::address(Lab::leader()), self::server(new \PDO('hadsn:', 'app', 'app')));
        self::assertTrue(self::isReplica(new \PDO('hadsn:reader', 'app', 'app')));
    }

    public function testWithoutAnyTheExceptionSaysWhereToPutThem(): void
    {
        self::discover(self::WITHOUT_CREDENTIALS);

        foreach ([HaDsn::writer(...), HaDsn::reader(...), HaDsn::topology(...)] as $call) {
            self::assertThrows(HaDsn\DiscoveryException::class, $call, 'nobody to log in as', 'user:password@', 'HaDsn::connect()');
        }
    }

    public function testAWrongPasswordIsReportedByEachServer(): void
    {
        self::discover(strtr(self::BY_SQL, ['app:app@' => 'app:hunter2@']));

        $reasons = array_map(
            static fn(string $node): string => "postgresql $node:5432: rejects the password of \"app\" (28P01)",
            explode(',', self::NODES),
        );
        $thrown = self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), ...$reasons);
        self::assertStringNotContainsString('hunter2', $thrown->getMessage());
    }

    public function testAServerThatIsDeadAndOneThatIsFrozenDoNotSpoilTheOthers(): void
    {
        $leader = Lab::leader();
        [$dead, $frozen] = Lab::replicas();
        // All three in each order: who comes first must not matter.
        $orders = [[$dead, $frozen, $leader], [$leader, $dead, $frozen], [$frozen, $leader, $dead]];
        $url = static fn(array $nodes): string => 'postgresql://app:app@' . implode(',', array_map(Lab::address(...), $nodes)) . '/app';
        Lab::run('kill', $dead);
        try {
            foreach ($orders as $order) {
                self::discover($url($order));
                self::assertSame(Lab::address($leader), self::server(Lab::connect(HaDsn::writer())));
                for ($i = 0; $i < 4; ++$i) {
                    self::assertSame(Lab::address($frozen), self::server(Lab::connect(HaDsn::reader())), 'the one that is left');
                }
            }

            Lab::run('freeze', $frozen);
            foreach ($orders as $order) {
                self::discover($url($order));
                $seconds = self::seconds(static fn() => self::assertSame(Lab::address($leader), self::host(HaDsn::writer())));
                self::assertLessThan(1.0, $seconds, 'a frozen server costs no timeout');
                self::assertSame(Lab::address($leader), self::server(Lab::connect(HaDsn::reader())), 'when no replica is left');
            }

            self::discover($url([$dead, $frozen]), 'timeout=1s');
            self::assertThrows(
                HaDsn\DiscoveryException::class,
                static fn() => HaDsn::writer(),
                'postgresql ' . Lab::address($dead) . ':5432: connection refused',
                'postgresql ' . Lab::address($frozen) . ':5432: no answer within 1s, though it accepts connections',
            );
        } finally {
            Lab::run('thaw', 'all');
            Lab::run('start', $dead, '--wait');
        }

        self::discover(self::BY_SQL);
        self::assertBothRolesAreFound();
    }
}
