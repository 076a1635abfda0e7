<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * When Patroni is asked, and what is answered while it is not.
 */
final class FreshnessTest extends UnitTestCase
{
    public function testManyCallsAskOnce(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'poll=1m&ttl=2m');

        for ($i = 0; $i < 1000; ++$i) {
            HaDsn::writer();
            HaDsn::reader();
            HaDsn::conninfo();
            HaDsn::conninfo('reader');
            HaDsn::topology();
        }

        self::assertSame(1, $patroni->count());
        self::assertSame(['GET', '/cluster'], [$patroni->requests()[0]['method'], $patroni->requests()[0]['target']]);
    }

    public function testTheSameSourcesUnderTwoNamesAskOnce(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        HaDsn::configure(self::url($patroni, 'poll=1m&ttl=2m'), 'one');
        HaDsn::configure(self::url($patroni, 'poll=1m&ttl=2m'), 'two');

        self::assertSame(HaDsn::writer('one'), HaDsn::writer('two'));
        self::assertSame('two', HaDsn::topology('two')->cluster);
        self::assertSame(1, $patroni->count());
    }

    public function testAfterTtlReadersAskAgainOnce(): void
    {
        $patroni = $this->cluster(Nodes::leader(), Nodes::replica());
        self::configure($patroni, 'ttl=400ms');
        HaDsn::reader();

        $patroni->answers(Answer::members(Nodes::leader(), Nodes::replica('new', '127.0.2.9')));
        self::assertSame('127.0.2.2', self::host(HaDsn::reader()), 'still fresh');
        self::await(static fn(): bool => self::host(HaDsn::reader()) === '127.0.2.9', 'the new replica is read from');

        self::assertSame(2, $patroni->count());
    }

    public function testTheLeaderIsLookedAtMoreOftenThanReplicas(): void
    {
        $patroni = $this->cluster(Nodes::leader(), Nodes::replica());
        self::configure($patroni, 'poll=100ms&timeout=300ms&ttl=1m');
        HaDsn::writer();

        $patroni->answers(Answer::members(Nodes::leader('new', '127.0.2.9'), Nodes::replica()));
        self::await(static fn(): bool => self::host(HaDsn::writer()) === '127.0.2.9', 'the new leader is written to', 5.0);

        self::assertSame(2, $patroni->count());
    }

    public function testInvalidateMakesTheNextCallAsk(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'poll=1m&ttl=2m');
        $first = [HaDsn::writer(), HaDsn::writer()];
        $patroni->answers(Answer::members(Nodes::leader('new', '127.0.2.9'), Nodes::replica()));
        self::assertSame($first[0], HaDsn::writer(), 'nobody has said anything yet');

        HaDsn::invalidate();
        self::assertSame(1, $patroni->count(), 'invalidate() itself asks nobody');

        self::assertSame('127.0.2.9', self::host(HaDsn::writer()));
        self::assertSame('127.0.2.9', self::host(HaDsn::writer()));
        self::assertSame(2, $patroni->count());
    }

    /**
     * @dataProvider calls
     */
    public function testInvalidateHoldsForEveryKindOfCall(callable $call): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'poll=1m&ttl=2m');
        $call();
        $call();

        HaDsn::invalidate();
        HaDsn::invalidate();
        $call();
        $call();

        self::assertSame(2, $patroni->count());
    }

    /** @return iterable<string, array{callable}> */
    public static function calls(): iterable
    {
        yield 'writer' => [HaDsn::writer(...)];
        yield 'reader' => [HaDsn::reader(...)];
        yield 'reader with a lag' => [static fn() => HaDsn::reader('default', 1000)];
        yield 'conninfo of the writer' => [HaDsn::conninfo(...)];
        yield 'conninfo of a reader' => [static fn() => HaDsn::conninfo('reader')];
        yield 'topology' => [HaDsn::topology(...)];
    }

    public function testInvalidateConcernsOneCluster(): void
    {
        [$one, $two] = [$this->cluster(...Nodes::healthy()), $this->cluster(...Nodes::healthy())];
        HaDsn::configure(self::url($one, 'poll=1m&ttl=2m'), 'one');
        HaDsn::configure(self::url($two, 'poll=1m&ttl=2m'), 'two');
        HaDsn::writer('one');
        HaDsn::writer('two');

        HaDsn::invalidate('two');
        HaDsn::writer('one');
        HaDsn::writer('two');

        self::assertSame([1, 2], [$one->count(), $two->count()]);
    }

    public function testAnInvalidatedProcessAsksAFewTimesASecondAtMost(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni);

        $seconds = self::seconds(static function (): void {
            for ($i = 0; $i < 12; ++$i) {
                HaDsn::invalidate();
                HaDsn::writer();
            }
        });

        // Four a second, and four to begin with.
        self::assertLessThanOrEqual(6 + 4 * $seconds, $patroni->count());
        self::assertGreaterThanOrEqual(2, $patroni->count());
    }

    /**
     * @dataProvider deadAnswers
     */
    public function testTheLastGoodAnswerServesWhileEverySourceIsDead(?Answer $answer): void
    {
        [$one, $two] = [$this->cluster(...Nodes::healthy()), $this->cluster(...Nodes::healthy())];
        self::configure([$one, $two], 'ttl=50ms&timeout=300ms&max_stale=1m');
        $good = HaDsn::writer();
        self::allDie($answer, $one, $two);

        self::await(static function () use ($good): bool {
            self::assertSame($good, HaDsn::writer());

            return self::reported()['error'] !== null;
        }, 'the trouble is noticed');

        self::assertSame($good, HaDsn::writer());
        self::assertContains(self::host(HaDsn::reader()), ['127.0.2.2', '127.0.2.3']);
        self::assertSame('pg1', HaDsn::topology()->leader->name);
        self::assertSame('127.0.2.1', self::host(HaDsn::conninfo()));
        self::assertSame('pg1', self::reported()['leader']);
        self::assertGreaterThan(0.05, self::reported()['age']);
        self::assertSame('stale', self::reported()['state']);
        foreach ([$one, $two] as $patroni) {
            self::assertStringContainsString("patroni {$patroni->address()}: ", self::reported()['error']);
        }
    }

    /** @return iterable<string, array{Answer|null}> */
    public static function deadAnswers(): iterable
    {
        yield 'nobody listens' => [null];
        yield 'silent' => [Answer::silence()];
        yield 'broken' => [Answer::status(500)];
    }

    public function testASilentClusterDoesNotCostATimeoutACall(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'ttl=50ms&timeout=500ms&max_stale=1m');
        HaDsn::writer();
        $patroni->answers(Answer::silence());

        $seconds = self::seconds(static function (): void {
            for ($i = 0; $i < 1000; ++$i) {
                HaDsn::writer();
                HaDsn::reader();
            }
        });

        self::assertLessThan(self::SOON, $seconds);
    }

    public function testTheLastGoodAnswerExpires(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'ttl=50ms&timeout=200ms&max_stale=700ms&failover_timeout=30s');
        HaDsn::writer();
        $patroni->stop();
        $address = $patroni->address();

        $thrown = null;
        $seconds = self::seconds(static function () use (&$thrown): void {
            self::await(static function () use (&$thrown): bool {
                try {
                    HaDsn::writer();
                } catch (HaDsn\DiscoveryException $e) {
                    $thrown = $e;
                }

                return $thrown !== null;
            }, 'the last good answer is not used any more');
        });

        self::assertGreaterThan(0.5, $seconds);
        self::assertLessThan(self::SOON, $seconds);
        self::assertStringContainsString("patroni $address: ", $thrown->getMessage());
        self::assertStringContainsString('max_stale (0.7s)', $thrown->getMessage());
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::reader(), $address);
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::topology(), $address);
    }

    public function testANewAnswerEndsTheTrouble(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'ttl=50ms&timeout=200ms&max_stale=1m');
        HaDsn::writer();
        $patroni->answers(Answer::status(503));
        self::await(static fn(): bool => HaDsn::writer() !== '' && self::reported()['error'] !== null, 'the trouble is noticed');

        $patroni->answers(Answer::members(Nodes::leader('new', '127.0.2.9')));
        self::await(static fn(): bool => self::host(HaDsn::writer()) === '127.0.2.9', 'the new leader is written to');

        self::assertNull(self::reported()['error']);
    }

    public function testInvalidatedAndSilentTheLastGoodAnswerServes(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'timeout=300ms');
        $good = HaDsn::writer();
        $patroni->answers(Answer::silence());

        HaDsn::invalidate();
        $seconds = self::seconds(static fn() => self::assertSame($good, HaDsn::writer()));

        self::assertSame(2, $patroni->count());
        self::assertLessThan(self::SOON, $seconds);
    }

    public function testStatusTellsHowFarAnAnswerCanBeReliedOn(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'ttl=300ms&failover_timeout=1500ms');

        $status = self::reported();
        self::assertSame(['stale', null, null, null, null, null], [
            $status['state'], $status['age'], $status['leader'], $status['leader_address'], $status['answered_by'], $status['error'],
        ]);

        HaDsn::writer();
        $status = self::reported();
        self::assertSame(
            [
                'fresh',
                'pg1',
                '127.0.2.1:5432',
                "patroni {$patroni->address()}",
                null,
                self::url($patroni, 'ttl=300ms&failover_timeout=1500ms'),
                1.5,
                'off',
            ],
            [
                $status['state'], $status['leader'], $status['leader_address'], $status['answered_by'], $status['error'],
                $status['source'], $status['failover_timeout'], $status['proof'],
            ],
        );
        self::assertIsFloat($status['age']);

        HaDsn::invalidate();
        self::assertSame('suspect', self::reported()['state']);
        self::assertSame('pg1', self::reported()['leader']);

        HaDsn::writer();
        self::assertSame('fresh', self::reported()['state']);

        self::await(static fn(): bool => self::reported()['state'] === 'stale', 'the answer grows old');
        self::assertGreaterThanOrEqual(0.3, self::reported()['age']);
        self::assertSame(2, $patroni->count(), 'status() asks nobody');
    }

    public function testStatusHoldsTheVersionAndCanBeEncoded(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));
        HaDsn::writer();

        $status = json_decode(json_encode(HaDsn::status(), JSON_THROW_ON_ERROR), true, 16, JSON_THROW_ON_ERROR);

        self::assertSame(['version', 'clusters'], array_keys($status));
        self::assertSame((new \ReflectionExtension('hadsn'))->getVersion(), $status['version']);
        self::assertSame([], array_diff(
            ['source', 'answered_by', 'leader', 'leader_address', 'age', 'state', 'error', 'failover_timeout', 'proof', 'epoch'],
            array_keys($status['clusters']['default']),
        ));
    }

    /** @return array<string, mixed> */
    private static function reported(): array
    {
        return HaDsn::status()['clusters']['default'];
    }

    private static function allDie(?Answer $answer, FakePatroni ...$all): void
    {
        foreach ($all as $patroni) {
            $answer === null ? $patroni->stop() : $patroni->answers($answer);
        }
    }
}
