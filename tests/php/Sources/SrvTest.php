<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Process;

/**
 * patroni+https+srv:// and postgresql+srv://: where the nodes are is asked of the DNS server, who leads of the nodes.
 */
final class SrvTest extends SourcesTestCase
{
    private const LEADER = '_postgresql._tcp.leader.' . Lab::ZONE;
    private const BY_LEADER = 'postgresql+srv://app:app@leader.' . Lab::ZONE . '/app';

    /** Longer than the records' TTL, in microseconds. */
    private const OLD = 2_500_000;

    protected function tearDown(): void
    {
        parent::tearDown();
        Lab::run('dns-start');
    }

    /**
     * @dataProvider sourceUrls
     */
    public function testBothRolesAreFound(string $url, string $name): void
    {
        self::discover($url);

        self::assertBothRolesAreFound();
        self::assertMatchesRegularExpression($name, self::statusOf()['answered_by']);
    }

    /** @return iterable<string, array{string, string}> */
    public static function sourceUrls(): iterable
    {
        $zone = preg_quote(Lab::ZONE);
        yield 'Patroni' => [self::BY_PATRONI_SRV, "/^patroni pg[123]\.$zone:8008$/"];
        yield 'SQL' => [self::BY_SQL_SRV, "/^postgresql pg[123]\.$zone:5432$/"];
    }

    public function testANameThatBeginsWithAnUnderscoreIsLookedUpAsItStands(): void
    {
        self::discover(strtr(self::BY_SQL_SRV, ['@' => '@_postgresql._tcp.']));

        self::assertSame(Lab::address(Lab::leader()), self::addressOf(HaDsn::writer()));
    }

    public function testLibpqGetsTheNameForTheCertificateAndTheAddressToConnectTo(): void
    {
        self::discover(self::BY_SQL_SRV);
        $leader = Lab::leader();

        self::assertStringContainsString(
            "host=$leader." . Lab::ZONE . ';hostaddr=' . Lab::address($leader) . ';port=5432;dbname=app;',
            HaDsn::writer(),
        );
    }

    public function testTheCertificateHasToBeForTheNameOfTheRecord(): void
    {
        $authority = 'patroni_cafile=' . rawurlencode(Lab::certificate('other-ca.pem'));
        self::discover(self::BY_PATRONI_SRV, $authority);

        $reasons = array_map(
            static fn(string $node): string => "patroni $node." . Lab::ZONE . ':8008: TLS: the certificate is signed by an issuer',
            ['pg1', 'pg2', 'pg3'],
        );
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), ...$reasons);
    }

    public function testTheRecordOfTheLeaderLeadsToIt(): void
    {
        self::discover(self::BY_LEADER);

        $pdo = Lab::connect(HaDsn::writer());
        self::assertSame(Lab::address(Lab::leader()), self::server($pdo));
        self::assertSame([Lab::leader() . '.' . Lab::ZONE . ':5432'], array_column(HaDsn::topology()->members, 'name'));
        self::assertSame(self::server($pdo), self::server(Lab::connect(HaDsn::reader())), 'there is no replica in it');
    }

    public function testANameWithoutRecordsIsNamed(): void
    {
        self::discover('patroni+https+srv://nothing.' . Lab::ZONE . '/app');

        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), '_patroni._tcp.nothing.' . Lab::ZONE);
    }

    public function testInASwitchoverTheWriterMoves(): void
    {
        $all = ['patroni' => self::BY_PATRONI_SRV, 'sql' => self::BY_SQL_SRV, 'leader' => self::BY_LEADER];
        foreach ($all as $cluster => $url) {
            HaDsn::configure(self::sources($url), $cluster);
            self::assertSame(Lab::address(Lab::leader()), self::addressOf(HaDsn::writer($cluster)));
        }
        $old = Lab::address(Lab::leader());
        Lab::run('switchover');
        $new = Lab::address(Lab::leader());

        foreach (array_keys($all) as $cluster) {
            HaDsn::invalidate($cluster);
            $pdo = HaDsn::connect('app', 'app', cluster: $cluster);
            $pdo->exec('CREATE TEMPORARY TABLE proof ()');
            self::assertSame([$new, $new], [self::server($pdo), self::addressOf(HaDsn::writer($cluster))], $cluster);
        }
        self::assertNotSame($old, $new);
    }

    /**
     * @dataProvider sourceUrls
     */
    public function testWhileTheDnsServerIsDownTheLastGoodRecordsStayInUse(string $url): void
    {
        self::discover($url);
        $writer = HaDsn::writer();
        Lab::run('dns-stop');
        usleep(self::OLD);

        $seconds = self::seconds(static fn() => self::assertSame($writer, self::writerNow()));
        self::assertLessThan(1.0, $seconds, 'it does not take the time of a look');
        self::assertSame(['fresh', null], [self::statusOf()['state'], self::statusOf()['error']]);
        self::assertTrue(self::isReplica(Lab::connect(HaDsn::reader())));

        self::discover($url);
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), '.' . Lab::ZONE, Lab::NAME_SERVER);
        Lab::run('dns-start');
        self::assertSame(self::addressOf($writer), self::addressOf(self::writerNow()));
    }

    public function testRecordsThatChangeAreFollowed(): void
    {
        $leader = Lab::leader();
        [$first, $second] = Lab::replicas();
        self::discover(self::BY_LEADER, 'failover_timeout=0s');
        self::assertSame(Lab::address($leader), self::addressOf(HaDsn::writer()));
        try {
            self::publish($leader, $first);
            usleep(self::OLD);
            self::assertSame(Lab::address($leader), self::addressOf(self::writerNow()));
            self::assertSame(Lab::address($first), self::addressOf(HaDsn::reader()));
            self::assertCount(2, HaDsn::topology()->members);

            self::publish($leader, $second);
            usleep(self::OLD);
            self::assertSame(Lab::address($leader), self::addressOf(self::writerNow()));
            self::assertSame(Lab::address($second), self::addressOf(HaDsn::reader()));
        } finally {
            self::publish($leader);
        }
    }

    public function testARecordThatNamesAReplicaMakesNoWriterOfIt(): void
    {
        $leader = Lab::leader();
        [$replica] = Lab::replicas();
        try {
            self::publish($replica);
            self::discover(self::BY_LEADER, 'failover_timeout=0s');

            self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer(), "postgresql $replica." . Lab::ZONE . ':5432');
            self::assertSame(Lab::address($replica), self::addressOf(HaDsn::reader()), 'it is read from');
        } finally {
            self::publish($leader);
        }
    }

    /** Replaces the records under the name of the leader, as an administrator would. */
    private static function publish(string ...$nodes): void
    {
        [$address, $port] = explode(':', Lab::NAME_SERVER);
        $lines = ["server $address $port", 'zone ' . Lab::ZONE, 'update delete ' . self::LEADER . ' SRV'];
        foreach ($nodes as $node) {
            $lines[] = 'update add ' . self::LEADER . " 2 SRV 0 0 5432 $node." . Lab::ZONE;
        }
        $command = ['nsupdate', '-v', '-k', Lab::file('dns', 'tsig.key')];
        $outcome = (new Process($command, input: implode("\n", [...$lines, 'send', ''])))->wait(20.0);
        self::assertSame(0, $outcome->exitCode, $outcome->stdout . $outcome->stderr);
    }
}
