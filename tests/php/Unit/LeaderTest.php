<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * Who the leader is, and what a writer does while there is none.
 */
final class LeaderTest extends UnitTestCase
{
    /**
     * @dataProvider clustersWithoutALeader
     *
     * @param list<array<string, mixed>> $members
     */
    public function testWithoutALeaderTheWriterWaitsAndThenSaysWhy(array $members, string ...$reasons): void
    {
        $patroni = $this->cluster(...$members);
        self::configure($patroni, 'failover_timeout=300ms');

        foreach ([HaDsn::writer(...), HaDsn::conninfo(...)] as $call) {
            $seconds = self::seconds(static function () use ($call, &$thrown): void {
                $thrown = self::thrown($call);
            });

            self::assertInstanceOf(HaDsn\NoLeaderException::class, $thrown);
            foreach (["patroni {$patroni->address()}", ...$reasons] as $text) {
                self::assertStringContainsString($text, $thrown->getMessage());
            }
            self::assertGreaterThanOrEqual(0.29, $seconds);
            self::assertLessThan(self::SOON, $seconds);
        }
        self::assertGreaterThan(1, $patroni->count(), 'it looked again while it waited');
    }

    /** @return iterable<string, list<mixed>> */
    public static function clustersWithoutALeader(): iterable
    {
        yield 'nobody' => [[], 'none of 0 members'];
        yield 'replicas only' => [[Nodes::replica(), Nodes::replica('pg3')], 'none of 2 members'];
        yield 'a standby leader' => [[Nodes::leader(more: ['role' => 'standby_leader']), Nodes::replica()], '"pg1"', 'standby_leader'];
        yield 'a stopped leader' => [[Nodes::leader(more: ['state' => 'stopped'])], '"pg1"', '"stopped"'];
        yield 'a starting leader' => [[Nodes::leader(more: ['state' => 'starting'])], '"pg1"', '"starting"'];
        yield 'a crashed leader' => [[Nodes::leader(more: ['state' => 'crashed'])], '"pg1"', '"crashed"'];
        yield 'a leader without a host' => [[Nodes::leader(more: ['host' => null])], '"pg1"', 'host'];
        yield 'a leader without a port' => [[Nodes::leader(more: ['port' => null])], '"pg1"', 'port'];
        yield 'a leader whose host could add a keyword' => [[Nodes::leader(host: "x' sslmode='disable")], '"pg1"', 'host'];
        yield 'two on the same timeline' => [[Nodes::leader(), Nodes::leader('pg2', '127.0.2.2')], '"pg1"', '"pg2"', 'timeline 3'];
        yield 'two on unknown timelines' => [
            [Nodes::leader(more: ['timeline' => null]), Nodes::leader('pg2', more: ['timeline' => null])],
            '"pg1"',
            '"pg2"',
            'unknown timeline',
        ];
        yield 'two on the higher timeline, one below' => [
            [Nodes::leader('old', more: ['timeline' => 2]), Nodes::leader(), Nodes::leader('pg2', '127.0.2.2')],
            '"pg1"',
            '"pg2"',
            'timeline 3',
        ];
        yield 'one on a known and one on an unknown timeline, which may be the higher' => [
            [Nodes::leader(), Nodes::leader('pg2', '127.0.2.2', ['timeline' => null])],
            '"pg1"',
            '"pg2"',
        ];
        yield 'one that is stopped on the higher timeline, and one that was deposed' => [
            [Nodes::leader('pg2', '127.0.2.2', ['timeline' => 4, 'state' => 'stopped']), Nodes::leader()],
            '"pg2"',
            '"stopped"',
        ];
        yield 'one that can not be used on the higher timeline, and one that was deposed' => [
            [Nodes::leader('pg2', 'a b', ['timeline' => 4]), Nodes::leader()],
            '"pg2"',
            'host',
        ];
        yield 'an unknown role' => [
            [Nodes::leader(more: ['role' => 'Leader']), Nodes::leader(more: ['role' => 'primary'])],
            'none of 2 members',
        ];
        yield 'no role' => [[Nodes::leader(more: ['role' => 7])], 'none of 1 members'];
    }

    public function testALeaderWhoseNameCanNotBeLookedUpIsNamed(): void
    {
        $patroni = $this->cluster(Nodes::leader(host: 'no-such-host.invalid'), Nodes::replica());
        self::configure($patroni, 'failover_timeout=300ms&timeout=1s');

        $seconds = self::seconds(static function () use ($patroni): void {
            self::assertThrows(
                HaDsn\NoLeaderException::class,
                static fn() => HaDsn::writer(),
                "patroni {$patroni->address()}",
                '"pg1"',
                'no-such-host.invalid',
            );
        });

        self::assertLessThan(self::SOON, $seconds);
        self::assertSame('127.0.2.2', self::host(HaDsn::reader()), 'replicas are read from all the same');
    }

    /**
     * @dataProvider clustersWithALeader
     *
     * @param list<array<string, mixed>> $members
     */
    public function testOfSeveralTheLeaderOnTheHighestTimelineIsWrittenTo(array $members, string $host): void
    {
        self::configure($this->cluster(...$members), 'failover_timeout=2s');

        self::assertSame($host, self::host(HaDsn::writer()));
        self::assertSame($host, HaDsn::topology()->leader->host);
    }

    /** @return iterable<string, array{list<array<string, mixed>>, string}> */
    public static function clustersWithALeader(): iterable
    {
        $old = Nodes::leader('old', '127.0.2.1', ['timeline' => 9]);
        $new = Nodes::leader('new', '127.0.2.2', ['timeline' => 10]);
        $unknown = Nodes::leader('unknown', '127.0.2.3', ['timeline' => null]);
        yield 'the higher one last' => [[$old, $new], '127.0.2.2'];
        yield 'the higher one first' => [[$new, $old], '127.0.2.2'];
        yield 'an unknown timeline alone' => [[$unknown], '127.0.2.3'];
        yield 'a leader without a word about its state' => [[Nodes::leader('pg1', '127.0.2.5', ['state' => null])], '127.0.2.5'];
        yield 'a standby leader beside a leader' => [[Nodes::leader('s', '127.0.2.6', ['role' => 'standby_leader']), $old], '127.0.2.1'];
    }

    public function testTheWriterReturnsTheNewLeaderAsSoonAsThereIsOne(): void
    {
        $nobody = Answer::members(Nodes::replica('pg2', '127.0.2.2', ['state' => 'running']));
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'failover_timeout=1m');
        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        $patroni->answersInTurn($nobody, $nobody, $nobody, $nobody, Answer::members(Nodes::leader('pg2', '127.0.2.2', ['timeline' => 4])));

        HaDsn::invalidate();
        $seconds = self::seconds(static fn() => self::assertSame('127.0.2.2', self::host(HaDsn::writer())));

        self::assertSame(1 + 5, $patroni->count(), 'it asked no more once it knew');
        self::assertLessThan(2 * self::SOON, $seconds);
        self::assertSame(4, HaDsn::topology()->timeline);
    }

    public function testAWaitingWriterDoesNotFloodPatroni(): void
    {
        $patroni = $this->cluster(Nodes::replica());
        self::configure($patroni, 'failover_timeout=2s');

        $seconds = self::seconds(static fn() => self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer()));

        self::assertGreaterThanOrEqual(3, $patroni->count());
        self::assertLessThanOrEqual(6 + 4 * $seconds, $patroni->count());
    }

    public function testWithoutPatienceTheWriterFailsAtOnce(): void
    {
        $patroni = $this->cluster(Nodes::replica());
        self::configure($patroni, 'failover_timeout=0s');

        self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer(), 'none of 1 members');
        self::assertSame(1, $patroni->count());
    }

    public function testALeaderThatStepsDownIsNotWrittenToAnyMore(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'failover_timeout=200ms&ttl=50ms');
        HaDsn::writer();
        $patroni->answers(Answer::members(Nodes::replica('pg1', '127.0.2.1'), Nodes::replica()));

        self::await(static function (): bool {
            try {
                self::assertSame('127.0.2.1', self::host(HaDsn::writer()), 'what was fresh a moment ago');

                return false;
            } catch (HaDsn\NoLeaderException) {
                return true;
            }
        }, 'the writer notices');
        self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer());
    }

    public function testPatroniThatFallsSilentDuringTheWaitEndsItInTime(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'failover_timeout=1s&timeout=300ms');
        HaDsn::writer();
        $patroni->answersInTurn(Answer::members(Nodes::replica()), Answer::silence());

        HaDsn::invalidate();
        $seconds = self::seconds(static fn() => self::assertThrows(HaDsn\Exception::class, static fn() => HaDsn::writer()));

        self::assertLessThan(self::SOON, $seconds);
    }
}
