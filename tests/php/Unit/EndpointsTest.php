<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * Whom hadsn asks when there are several to ask, and what a bad one costs.
 */
final class EndpointsTest extends UnitTestCase
{
    public function testTheFirstEndpointIsAskedAloneWhileItAnswers(): void
    {
        $all = [$this->cluster(...Nodes::healthy()), $this->cluster(...Nodes::healthy()), $this->cluster(...Nodes::healthy())];
        self::configure($all, 'hedge=5s&timeout=10s');

        HaDsn::writer();

        self::assertSame([1, 0, 0], array_map(static fn($patroni): int => $patroni->count(), $all));
        self::assertSame("patroni {$all[0]->address()}", HaDsn::status()['clusters']['default']['answered_by']);
    }

    public function testASilentFirstEndpointCostsTheHedgeAndNotTheTimeout(): void
    {
        [$silent, $good] = [$this->patroni(Answer::silence()), $this->cluster(...Nodes::healthy())];
        self::configure([$silent, $good], 'hedge=200ms&timeout=30s');

        $seconds = self::seconds(static fn() => self::assertSame('127.0.2.1', self::host(HaDsn::writer())));

        self::assertGreaterThanOrEqual(0.2, $seconds);
        self::assertLessThan(self::SOON, $seconds);
        self::assertGreaterThanOrEqual(
            0.15,
            $good->requests()[0]['at'] - $silent->requests()[0]['at'],
            'the second is asked when the hedge is over',
        );
    }

    public function testTheEndpointThatAnsweredWellIsAskedFirstTheNextTime(): void
    {
        [$silent, $good] = [$this->patroni(Answer::silence()), $this->cluster(...Nodes::healthy())];
        self::configure([$silent, $good], 'hedge=100ms&timeout=10s');
        HaDsn::writer();
        $asked = $silent->count();

        HaDsn::invalidate();
        HaDsn::writer();
        HaDsn::invalidate();
        HaDsn::writer();

        self::assertSame([$asked, 3], [$silent->count(), $good->count()]);
    }

    public function testALateAnswerOfTheFirstEndpointIsTakenAllTheSame(): void
    {
        $late = $this->patroni(Answer::members(...Nodes::healthy())->after(0.6));
        $silent = $this->patroni(Answer::silence());
        self::configure([$late, $silent], 'hedge=50ms&timeout=20s');

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
    }

    public function testALoneSlowEndpointHasTheWholeTimeout(): void
    {
        $slow = $this->patroni(Answer::members(...Nodes::healthy())->after(0.5));
        self::configure($slow, 'hedge=50ms&timeout=20s');

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        self::assertSame(1, $slow->count());
    }

    /**
     * @dataProvider badAnswers
     */
    public function testABadFirstEndpointDoesNotMatter(Answer $answer): void
    {
        [$bad, $good] = [$this->patroni($answer), $this->cluster(...Nodes::healthy())];
        self::configure([self::deadAddress(), $bad, $good], 'timeout=20s');

        $seconds = self::seconds(static fn() => self::assertSame('127.0.2.1', self::host(HaDsn::writer())));

        self::assertLessThan(self::SOON, $seconds);
        self::assertNull(HaDsn::status()['clusters']['default']['error']);
    }

    /** @return iterable<string, array{Answer}> */
    public static function badAnswers(): iterable
    {
        yield 'hangs up' => [Answer::slam()];
        yield 'unavailable' => [Answer::status(503)];
        yield 'nonsense' => [Answer::body('nonsense')];
        yield 'silent' => [Answer::silence()];
        yield 'a byte a second' => [Answer::drip()];
        yield 'knows no leader' => [Answer::members(Nodes::replica())];
        yield 'knows nobody' => [Answer::members()];
        yield 'knows a leader without an address' => [Answer::members(Nodes::leader(more: ['host' => null]))];
    }

    public function testManyDeadEndpointsCostLittle(): void
    {
        $silent = [];
        for ($i = 0; $i < 8; ++$i) {
            $silent[] = $this->patroni(Answer::silence());
        }
        self::configure([...$silent, $this->cluster(...Nodes::healthy())], 'hedge=100ms&timeout=60s');

        $seconds = self::seconds(static fn() => HaDsn::writer());

        self::assertLessThan(self::SOON, $seconds);
        foreach ($silent as $patroni) {
            self::await(static fn(): bool => $patroni->count() >= 1, 'every endpoint is asked');
        }
    }

    public function testWhenAllAreDeadEachIsNamedWithItsReason(): void
    {
        $dead = self::deadAddress();
        [$silent, $broken, $html] = [
            $this->patroni(Answer::silence()),
            $this->patroni(Answer::status(500)),
            $this->patroni(Answer::body('<html>', 'text/html')),
        ];
        self::configure([$dead, $silent, $broken, $html, 'no-such-host.invalid'], 'timeout=600ms');

        $seconds = self::seconds(static function () use (&$thrown): void {
            $thrown = self::thrown(static fn() => HaDsn::writer());
        });

        self::assertInstanceOf(HaDsn\DiscoveryException::class, $thrown);
        self::assertLessThan(self::SOON, $seconds);
        $message = $thrown->getMessage();
        foreach ([
            "patroni $dead: connection refused",
            "patroni {$silent->address()}: no answer within 600ms",
            "patroni {$broken->address()}: answered 500",
            "patroni {$html->address()}: the answer is not usable JSON",
            'patroni no-such-host.invalid:8008: ',
        ] as $reason) {
            self::assertStringContainsString($reason, $message);
        }
    }

    public function testAllSourcesAreNamedToo(): void
    {
        [$one, $two] = [self::deadAddress(), self::deadAddress()];
        HaDsn::configure("patroni://$one/app patroni://$two");

        foreach ([HaDsn::writer(...), HaDsn::reader(...), HaDsn::conninfo(...), HaDsn::topology(...)] as $call) {
            self::assertThrows(
                HaDsn\DiscoveryException::class,
                $call,
                "patroni $one: connection refused",
                "patroni $two: connection refused",
            );
        }
    }

    public function testASilentFirstSourceLeavesTimeForTheSecond(): void
    {
        [$silent, $good] = [$this->patroni(Answer::silence()), $this->cluster(...Nodes::healthy())];
        HaDsn::configure(self::url($silent, 'timeout=1s') . " patroni://{$good->address()}");

        $seconds = self::seconds(static fn() => self::assertSame('127.0.2.1', self::host(HaDsn::writer())));

        self::assertLessThan(self::SOON, $seconds);
    }

    public function testAnEndpointGivenByNameIsLookedUp(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        $port = explode(':', $patroni->address())[1];
        self::configure("localhost:$port", 'timeout=5s');

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        self::assertSame("localhost:$port", $patroni->requests()[0]['headers']['host']);
    }

    public function testAnEndpointThatKnowsTheLeaderWinsOverOneThatDoesNot(): void
    {
        $behind = $this->cluster(Nodes::replica('pg1', '127.0.2.1'), Nodes::replica());
        $ahead = $this->patroni(Answer::members(Nodes::leader('pg2', '127.0.2.2'))->after(0.05));
        self::configure([$behind, $ahead], 'hedge=5s&timeout=10s&failover_timeout=30s');

        self::assertSame('127.0.2.2', self::host(HaDsn::writer()));
        self::assertSame([1, 1], [$behind->count(), $ahead->count()]);
    }
}
