<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Libpq;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * Where a member is connected to: port, map, allow_hosts.
 */
final class AddressesTest extends UnitTestCase
{
    /**
     * @dataProvider routes
     *
     * @param array<string, mixed> $more
     */
    public function testTheWayToTheLeader(string $host, array $more, string $options, string $expected): void
    {
        self::configure($this->cluster(Nodes::leader('pg1', $host, $more)), $options);

        foreach ([Libpq::parsePdo(HaDsn::writer()), Libpq::parse(HaDsn::conninfo())] as $read) {
            self::assertSame($expected, "{$read['host']} {$read['port']}");
        }
        [$host, $port] = explode(' ', $expected);
        $shown = str_contains($host, ':') ? "[$host]:$port" : "$host:$port";
        self::assertSame($shown, HaDsn::status()['clusters']['default']['leader_address']);
    }

    /** @return iterable<string, array{string, array<string, mixed>, string, string}> */
    public static function routes(): iterable
    {
        yield 'announced' => ['127.0.2.1', ['port' => 5433], 'ttl=10s', '127.0.2.1 5433'];
        yield 'another port' => ['127.0.2.1', [], 'port=6432', '127.0.2.1 6432'];
        yield 'another address' => ['127.0.2.1', [], 'map=127.0.2.1=127.0.100.1', '127.0.100.1 5432'];
        yield 'another address and port' => ['127.0.2.1', [], 'map=127.0.2.1=127.0.100.1:6543', '127.0.100.1 6543'];
        yield 'the entry of another member' => ['127.0.2.1', [], 'map=127.0.2.2=127.0.100.1', '127.0.2.1 5432'];
        yield 'the more exact entry' => [
            '127.0.2.1',
            ['port' => 5433],
            'map=127.0.2.1=127.0.100.1,127.0.2.1:5433=127.0.100.2',
            '127.0.100.2 5433',
        ];
        yield 'an entry of another port' => ['127.0.2.1', [], 'map=127.0.2.1:5433=127.0.100.2', '127.0.2.1 5432'];
        yield 'port for a mapped address' => ['127.0.2.1', [], 'map=127.0.2.1=127.0.100.1&port=6432', '127.0.100.1 6432'];
        yield 'a port in the map before port' => ['127.0.2.1', [], 'map=127.0.2.1=127.0.100.1:6543&port=6432', '127.0.100.1 6543'];
        yield 'from a name' => ['pg1.internal', [], 'map=pg1.internal=127.0.100.1', '127.0.100.1 5432'];
        yield 'to a name' => ['127.0.2.1', [], 'map=127.0.2.1=localhost', 'localhost 5432'];
        yield 'to IPv6' => ['127.0.2.1', [], 'map=127.0.2.1=[2001:db8::1]:6543', '2001:db8::1 6543'];
        yield 'from IPv6' => ['2001:db8::1', [], 'map=[2001:db8::1]=127.0.100.1', '127.0.100.1 5432'];
        yield 'several at once' => [
            '127.0.2.3',
            [],
            'map=127.0.2.1=127.0.100.1,127.0.2.2=127.0.100.2,127.0.2.3=127.0.100.3',
            '127.0.100.3 5432',
        ];
    }

    public function testPortAndMapHoldForReadersToo(): void
    {
        self::configure($this->cluster(Nodes::leader(), Nodes::replica()), 'port=6432&map=127.0.2.2=127.0.100.2');

        self::assertStringStartsWith('pgsql:host=127.0.100.2;port=6432;', HaDsn::reader());
        self::assertStringStartsWith('host=127.0.100.2 port=6432 ', HaDsn::conninfo('reader'));
    }

    /**
     * @dataProvider allowed
     */
    public function testALeaderInsideAllowHostsIsConnectedTo(string $host, string $allowed): void
    {
        self::configure($this->cluster(Nodes::leader('pg1', $host)), "allow_hosts=$allowed");

        self::assertSame($host, self::host(HaDsn::writer()));
    }

    /** @return iterable<string, array{string, string}> */
    public static function allowed(): iterable
    {
        yield 'a network' => ['127.0.2.1', '127.0.2.0/24'];
        yield 'one of several' => ['127.0.2.1', '10.0.0.0/8,127.0.2.0/30,.example.com'];
        yield 'the address' => ['127.0.2.1', '127.0.2.1'];
        yield 'everything' => ['127.0.2.1', '0.0.0.0/0'];
        yield 'an IPv6 network' => ['2001:db8::1', '2001:db8::/32'];
        yield 'a name' => ['localhost', 'localhost'];
        yield 'a name in another case' => ['localhost', 'LocalHost'];
        yield 'the network of a name' => ['localhost', '127.0.0.0/8,::1'];
    }

    /**
     * @dataProvider notAllowed
     */
    public function testALeaderOutsideAllowHostsIsReportedAtOnce(string $host, string $options): void
    {
        $patroni = $this->cluster(Nodes::leader('pg1', $host), Nodes::replica());
        self::configure($patroni, "failover_timeout=1m&$options");

        foreach ([HaDsn::writer(...), HaDsn::conninfo(...)] as $call) {
            $seconds = self::seconds(static fn() => self::assertThrows(
                HaDsn\NoLeaderException::class,
                $call,
                "patroni {$patroni->address()}",
                '"pg1"',
                'allow_hosts',
            ));
            self::assertLessThan(self::SOON, $seconds);
        }
    }

    /** @return iterable<string, array{string, string}> */
    public static function notAllowed(): iterable
    {
        yield 'another network' => ['127.0.2.1', 'allow_hosts=127.0.2.2/31'];
        yield 'another address' => ['127.0.2.1', 'allow_hosts=127.0.2.2'];
        yield 'only names' => ['127.0.2.1', 'allow_hosts=.example.com'];
        yield 'only IPv6' => ['127.0.2.1', 'allow_hosts=::/0'];
        yield 'a name below an allowed one' => ['db.localhost', 'allow_hosts=localhost'];
        yield 'a name that only ends alike' => ['badlocalhost', 'allow_hosts=.localhost'];
        yield 'the network that a name leads to' => ['localhost', 'allow_hosts=127.0.2.0/24'];
        yield 'what map leads to' => ['127.0.2.1', 'allow_hosts=127.0.2.0/24&map=127.0.2.1=127.0.100.1'];
    }

    public function testReplicasOutsideAllowHostsAreLeftOut(): void
    {
        self::configure(
            $this->cluster(Nodes::leader(), Nodes::replica('out', '127.0.100.2'), Nodes::replica('in', '127.0.2.3')),
            'allow_hosts=127.0.2.0/24',
        );

        for ($i = 0; $i < 6; ++$i) {
            self::assertSame('127.0.2.3', self::host(HaDsn::reader()));
        }
        self::assertCount(3, HaDsn::topology()->members);
    }

    public function testReadsGoOnWhileTheLeaderIsOutside(): void
    {
        self::configure(
            $this->cluster(Nodes::leader(host: '127.0.100.1'), Nodes::replica()),
            'allow_hosts=127.0.2.0/24&failover_timeout=1m',
        );

        self::assertSame('127.0.2.2', self::host(HaDsn::reader()));
    }
}
