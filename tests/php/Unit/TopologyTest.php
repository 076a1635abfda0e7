<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * What topology() shows of a cluster.
 */
final class TopologyTest extends UnitTestCase
{
    public function testEveryMemberIsShownInPatronisWords(): void
    {
        $tags = [
            'failover_priority' => 2,
            'nested' => ['x' => [1]],
            'noloadbalance' => true,
            'nothing' => null,
            'weight' => 1.5,
            'zone' => 'a',
        ];
        $patroni = $this->cluster(
            Nodes::leader('pg1', '127.0.2.1', ['timeline' => 7]),
            Nodes::replica(
                'pg2',
                '2001:db8::2',
                ['role' => 'sync_standby', 'port' => 5433, 'timeline' => 7, 'lag' => 4096, 'tags' => $tags],
            ),
            Nodes::replica('pg3', '127.0.2.3', ['state' => 'creating replica', 'timeline' => null, 'lag' => 'unknown', 'api_url' => null]),
        );
        self::configure($patroni, 'ttl=5s');

        $topology = HaDsn::topology();

        self::assertSame('default', $topology->cluster);
        self::assertSame(self::url($patroni, 'ttl=5s'), $topology->source);
        self::assertSame(7, $topology->timeline);
        self::assertNull($topology->systemIdentifier);
        self::assertGreaterThanOrEqual(0.0, $topology->age);
        self::assertLessThan(5.0, $topology->age);
        self::assertSame([0, 1, 2], array_keys($topology->members));
        self::assertSame($topology->members[0], $topology->leader, 'one and the same object');
        self::assertSame(
            ['pg1', '127.0.2.1', 5432, 'leader', 'running', 7, null, [], 'http://127.0.2.1:8008/patroni'],
            self::values($topology->members[0]),
        );
        self::assertSame(
            [
                'pg2',
                '2001:db8::2',
                5433,
                'sync_standby',
                'streaming',
                7,
                4096,
                array_replace($tags, ['nested' => '{"x":[1]}']),
                'http://2001:db8::2:8008/patroni',
            ],
            self::values($topology->members[1]),
        );
        self::assertSame(
            ['pg3', '127.0.2.3', 5432, 'replica', 'creating replica', null, null, [], null],
            self::values($topology->members[2]),
        );
    }

    public function testWithoutALeaderThereIsATopologyAllTheSame(): void
    {
        self::configure($this->cluster(Nodes::replica(more: ['state' => 'running'])));

        $seconds = self::seconds(static function () use (&$topology): void {
            $topology = HaDsn::topology();
        });

        self::assertNull($topology->leader);
        self::assertNull($topology->timeline);
        self::assertSame(['pg2'], array_column($topology->members, 'name'));
        self::assertLessThan(self::SOON, $seconds);
    }

    public function testTheAnnouncedAddressIsShownWhateverMapSays(): void
    {
        self::configure($this->cluster(Nodes::leader()), 'map=127.0.2.1=127.0.100.1:6432');

        self::assertSame(['127.0.2.1', 5432], [HaDsn::topology()->leader->host, HaDsn::topology()->leader->port]);
        self::assertSame('127.0.100.1:6432', HaDsn::status()['clusters']['default']['leader_address']);
    }

    public function testTheEpochGrowsWhenTheTopologyIsRenewed(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));
        $before = HaDsn::topology()->epoch;

        HaDsn::invalidate();

        self::assertGreaterThan($before, HaDsn::topology()->epoch);
        self::assertSame(HaDsn::topology()->epoch, HaDsn::status()['clusters']['default']['epoch']);
    }

    public function testATopologyCanBeEncodedAndPrinted(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));

        $read = json_decode(json_encode(HaDsn::topology(), JSON_THROW_ON_ERROR), true, 16, JSON_THROW_ON_ERROR);

        self::assertSame(['cluster', 'leader', 'members', 'timeline', 'systemIdentifier', 'source', 'age', 'epoch'], array_keys($read));
        self::assertSame(['name', 'host', 'port', 'role', 'state', 'timeline', 'lag', 'tags', 'apiUrl'], array_keys($read['leader']));
        self::assertStringContainsString('[host] => 127.0.2.1', print_r(HaDsn::topology(), true));
    }

    public function testATopologyOutlivesItsCluster(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));
        $leader = HaDsn::topology()->leader;
        HaDsn::invalidate();
        self::configure($this->cluster(Nodes::leader('other', '127.0.2.9')));

        self::assertSame('other', HaDsn::topology()->leader->name);
        self::assertSame('pg1', $leader->name);
    }

    /**
     * The values of its properties, with the tags in alphabetical order.
     *
     * @return list<mixed>
     */
    private static function values(HaDsn\Member $member): array
    {
        $values = get_object_vars($member);
        ksort($values['tags']);

        return array_values($values);
    }
}
