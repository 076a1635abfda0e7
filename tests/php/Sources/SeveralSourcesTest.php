<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;

/**
 * More than one source in a string, and more than one site.
 */
final class SeveralSourcesTest extends SourcesTestCase
{
    /** Where nobody listens. */
    private const NOBODY = '127.0.0.19';

    public function testWhenPatroniDoesNotAnswerTheServersAreAsked(): void
    {
        $servers = 'postgresql://' . self::NODES;
        self::discover('patroni+https://app:app@' . self::NOBODY . "/app $servers");

        self::assertBothRolesAreFound();
        self::assertMatchesRegularExpression('/^postgresql 127\.0\.0\.1[123]:5432$/', self::statusOf()['answered_by']);
        self::assertStringContainsString('patroni+https://' . self::NOBODY, self::statusOf()['source'], 'both are shown');
        self::assertStringContainsString($servers, self::statusOf()['source']);
        self::assertStringStartsWith($servers, HaDsn::topology()->source);
    }

    public function testWhilePatroniAnswersNobodyElseIsAsked(): void
    {
        self::discover('patroni+https://app:wrong@' . self::NODES . '/app postgresql://' . self::NODES);

        self::assertBothRolesAreFound();
        self::assertStringStartsWith('patroni 127.0.0.1', self::statusOf()['answered_by']);
        self::assertStringStartsWith('patroni+https://' . self::NODES, HaDsn::topology()->source);
    }

    public function testWhenNoSourceAnswersEachIsNamedWithItsReason(): void
    {
        self::discover('patroni+https+srv://app:app@nothing.' . Lab::ZONE . '/app postgresql://' . self::NOBODY);

        self::assertThrows(
            HaDsn\DiscoveryException::class,
            static fn() => HaDsn::writer(),
            '_patroni._tcp.nothing.' . Lab::ZONE,
            'postgresql ' . self::NOBODY . ':5432: connection refused',
        );
    }

    /**
     * @dataProvider bothSites
     */
    public function testOfTwoSitesTheWriterIsTheLeaderOfThePrimaryOne(string $urls): void
    {
        self::discover($urls);
        $leader = Lab::address(Lab::leader());

        for ($i = 0; $i < 5; ++$i) {
            self::assertSame($leader, self::addressOf(self::writerNow()));
        }
        $pdo = HaDsn::connect('app', 'app');
        $pdo->exec('CREATE TEMPORARY TABLE proof ()');
        self::assertSame($leader, self::server($pdo));
        for ($i = 0; $i < 6; ++$i) {
            self::assertTrue(self::isReplica(Lab::connect(HaDsn::reader())));
        }
    }

    /** @return iterable<string, array{string}> */
    public static function bothSites(): iterable
    {
        [$nodes, $dr] = [self::NODES, self::DR];
        yield 'one list' => ["patroni+https://$nodes,$dr/app"];
        yield 'one list, the DR site first' => ["patroni+https://$dr,$nodes/app"];
        yield 'two sources' => ["patroni+https://$nodes/app patroni+https://$dr"];
        yield 'two sources, the DR site first' => ["patroni+https://$dr/app patroni+https://$nodes"];
        yield 'SRV records of both' => ['patroni+https+srv://' . Lab::ZONE . '/app patroni+https+srv://dr.' . Lab::ZONE];
        yield 'SRV records, the DR site first' => ['patroni+https+srv://dr.' . Lab::ZONE . '/app patroni+https+srv://' . Lab::ZONE];
        yield 'by SQL' => ["postgresql://app:app@$dr,$nodes/app"];
        yield 'Patroni of the DR site, and SQL' => ["patroni+https://app:app@$dr/app postgresql://$nodes"];
    }

    public function testTheDrSiteAloneIsReadFromAndNotWrittenTo(): void
    {
        self::discover('patroni+https://' . self::DR . '/app', 'failover_timeout=0s');

        self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer(), 'standby');
        self::assertSame(self::DR, self::server(Lab::connect(HaDsn::reader())));
    }
}
