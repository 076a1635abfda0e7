<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;

/**
 * The primary site is lost, and the standby cluster of the other one is promoted. Leaves the lab like that: with two
 * primaries.
 */
final class PromotedDrTest extends SourcesTestCase
{
    private const SITES = ['pg1', 'pg2', 'pg3'];

    /** @var list<string> the names of the clusters that have seen it */
    private static array $clusters = [];

    public function testTheWriterMovesToTheDrSiteWhenThatIsPromoted(): void
    {
        $clusters = self::clusters();
        $leader = Lab::address(Lab::leader());
        foreach ($clusters as $cluster => $sources) {
            HaDsn::configure($sources, $cluster);
            self::assertSame($leader, self::addressOf(HaDsn::writer($cluster)), $cluster);
        }
        $before = HaDsn::topology('one_list');

        foreach (self::SITES as $node) {
            Lab::run('kill', $node);
        }
        foreach (array_keys($clusters) as $cluster) {
            HaDsn::invalidate($cluster);
            self::assertSame(self::DR, self::server(Lab::connect(HaDsn::reader($cluster))), "$cluster: reads go on");
            self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer($cluster));
        }

        Lab::run('promote-dr');
        // Those who have seen the primary site, and those who come now.
        foreach (self::clusters('late_') as $cluster => $sources) {
            HaDsn::configure($sources, $cluster);
            $clusters[$cluster] = $sources;
        }
        foreach (array_keys($clusters) as $cluster) {
            HaDsn::invalidate($cluster);
            $pdo = HaDsn::connect('app', 'app', cluster: $cluster);
            $pdo->exec('CREATE TEMPORARY TABLE proof ()');
            self::assertSame([self::DR, self::DR], [self::server($pdo), self::addressOf(HaDsn::writer($cluster))], $cluster);
            self::assertSame(self::DR, self::addressOf(HaDsn::reader($cluster)), "$cluster: nobody else is left to read from");
        }
        $after = HaDsn::topology('one_list');
        self::assertSame($before->systemIdentifier, $after->systemIdentifier);
        self::assertGreaterThan($before->timeline, $after->timeline);
        self::$clusters = array_keys($clusters);
    }

    /**
     * It knows nothing of the promotion, elects a leader, and that begins a timeline of the same number.
     *
     * @depends testTheWriterMovesToTheDrSiteWhenThatIsPromoted
     */
    public function testWhenThePrimarySiteComesBackTheWriterStays(): void
    {
        foreach (self::SITES as $node) {
            Lab::run('start', $node);
        }
        self::await(static fn(): bool => Lab::status()['leader'] !== null, 'the primary site has a leader again', 60.0);
        $writers = [];
        for ($i = 0; $i < 5; ++$i) {
            foreach (self::$clusters as $cluster) {
                HaDsn::invalidate($cluster);
                $writers[$cluster][self::addressOf(HaDsn::writer($cluster))] = true;
            }
        }
        self::assertSame(array_fill_keys(self::$clusters, [self::DR => true]), $writers);
    }

    /**
     * Both sites, listed in each way there is.
     *
     * @return array<string, string> their sources by the name of the cluster
     */
    private static function clusters(string $prefix = ''): array
    {
        [$nodes, $dr, $zone] = [self::NODES, self::DR, Lab::ZONE];
        $urls = [
            'one_list' => "patroni+https://$nodes,$dr/app",
            'two_sources' => "patroni+https://$nodes/app patroni+https://$dr",
            'dr_first' => "patroni+https://$dr/app patroni+https://$nodes",
            'srv' => "patroni+https+srv://$zone/app patroni+https+srv://dr.$zone",
        ];
        $clusters = [];
        foreach ($urls as $name => $url) {
            $clusters[$prefix . $name] = self::sources($url, 'failover_timeout=' . ($prefix === '' ? '100ms' : '5s'));
        }

        return $clusters;
    }
}
