<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * Which replica is read from.
 */
final class ReaderTest extends UnitTestCase
{
    private const CALLS = 30_000;

    public function testRoundRobinSharesCallsEvenly(): void
    {
        self::configure($this->three(), 'ttl=10m');

        self::assertShares(3, self::tally(HaDsn::reader(...)));
    }

    public function testProcessesShareCallsEvenly(): void
    {
        self::assertShares(3, $this->tallyOfForks(30, 1000));
    }

    public function testProcessesThatReadOnceShareCallsEvenly(): void
    {
        // Each begins where chance puts it: a quarter is more than five standard deviations.
        self::assertShares(3, $this->tallyOfForks(900, 1), 900, 0.25);
    }

    public function testRoundRobinTakesTurns(): void
    {
        self::configure($this->three(), 'ttl=10m');

        $hosts = array_map(static fn(): string => self::host(HaDsn::reader()), range(1, 9));

        self::assertCount(3, array_unique(array_slice($hosts, 0, 3)));
        self::assertSame(array_slice($hosts, 0, 3), array_slice($hosts, 3, 3));
        self::assertSame(array_slice($hosts, 0, 3), array_slice($hosts, 6, 3));
    }

    public function testConninfoAndALagTakeTurnsToo(): void
    {
        self::configure($this->three(), 'ttl=10m');

        self::assertShares(3, self::tally(static fn(): string => HaDsn::conninfo('reader'), 3000), 3000);
        self::assertShares(3, self::tally(static fn(): string => HaDsn::reader(maxLag: 1 << 30), 3000), 3000);
    }

    public function testRandomSharesCallsEvenlyAndInNoOrder(): void
    {
        self::configure($this->three(), 'reader=random&ttl=10m');

        $same = 0;
        $last = '';
        $counts = self::tally(static function () use (&$same, &$last): string {
            $dsn = HaDsn::reader();
            $same += (int) ($dsn === $last);

            return $last = $dsn;
        });

        self::assertShares(3, $counts);
        self::assertEqualsWithDelta(self::CALLS / 3, $same, self::CALLS * 0.05, 'every third call gives the same as the one before');
    }

    public function testLeastLagReadsFromTheOneThatIsTheLeastBehind(): void
    {
        self::configure($this->cluster(
            Nodes::leader(),
            Nodes::replica('far', '127.0.2.2', ['lag' => 9000]),
            Nodes::replica('near', '127.0.2.3', ['lag' => 10]),
            Nodes::replica('unknown', '127.0.2.4', ['lag' => 'unknown']),
        ), 'reader=least_lag');

        self::assertSame(['127.0.2.3'], self::hosts());
    }

    public function testLeastLagSharesCallsAmongEquals(): void
    {
        self::configure($this->cluster(
            Nodes::leader(),
            Nodes::replica('a', '127.0.2.2', ['lag' => 10]),
            Nodes::replica('b', '127.0.2.3', ['lag' => 10]),
            Nodes::replica('c', '127.0.2.4', ['lag' => 11]),
        ), 'reader=least_lag&ttl=10m');

        self::assertShares(2, self::tally(HaDsn::reader(...)));
    }

    public function testLeastLagTakesAnUnknownLagWhenThereIsNothingElse(): void
    {
        self::configure($this->cluster(Nodes::leader(), Nodes::replica(more: ['lag' => 'unknown'])), 'reader=least_lag');

        self::assertSame(['127.0.2.2'], self::hosts());
    }

    public function testAReplicaFurtherBehindThanMaxLagIsLeftOut(): void
    {
        self::configure($this->lagging(), 'max_lag=64KiB');

        self::assertSame(['127.0.2.2', '127.0.2.3'], self::hosts());
    }

    public function testTheArgumentReplacesTheOptionMaxLag(): void
    {
        self::configure($this->lagging(), 'max_lag=64KiB');

        self::assertSame(['127.0.2.2', '127.0.2.3', '127.0.2.4'], self::hosts(static fn() => HaDsn::reader(maxLag: 65537)));
        self::assertSame(['127.0.2.2'], self::hosts(static fn() => HaDsn::reader(maxLag: 65535)));
        self::assertSame(['127.0.2.2'], self::hosts(static fn() => HaDsn::reader('default', 0)));
        self::assertSame(['127.0.2.2', '127.0.2.3'], self::hosts(static fn() => HaDsn::reader('default', null)), 'null is the option');
        self::assertSame(['127.0.2.2', '127.0.2.3'], self::hosts(), 'the argument holds for its own call only');
    }

    public function testWhatWasReceivedAndNotReplayedCountsAsLag(): void
    {
        self::configure($this->cluster(
            Nodes::leader(),
            Nodes::replica('paused', '127.0.2.2', ['lag' => 0, 'receive_lag' => 0, 'replay_lag' => 900]),
            Nodes::replica('even', '127.0.2.3', ['lag' => 5, 'receive_lag' => 5, 'replay_lag' => 5]),
        ), 'max_lag=100');

        self::assertSame(['127.0.2.3'], self::hosts());
        self::assertSame(900, HaDsn::topology()->members[1]->lag);
    }

    public function testAnUnknownLagExceedsEveryMaxLag(): void
    {
        self::configure($this->lagging());

        self::assertSame(['127.0.2.2', '127.0.2.3', '127.0.2.4', '127.0.2.5'], self::hosts());
        self::assertSame(['127.0.2.2', '127.0.2.3', '127.0.2.4'], self::hosts(static fn() => HaDsn::reader(maxLag: PHP_INT_MAX)));
    }

    /**
     * @dataProvider unknownLags
     */
    public function testWhatIsNoNumberIsAnUnknownLag(mixed $lag): void
    {
        self::configure($this->cluster(Nodes::leader(), Nodes::replica(more: ['lag' => $lag])), 'reader_fallback=error&max_lag=8GiB');

        self::assertThrows(HaDsn\NoReplicaException::class, static fn() => HaDsn::reader(), '"pg2"', 'unknown');
    }

    /** @return iterable<string, array{mixed}> */
    public static function unknownLags(): iterable
    {
        yield 'the text "unknown"' => ['unknown'];
        yield 'a number as a text' => ['5'];
        yield 'below zero' => [-1];
        yield 'a fraction' => [0.5];
        yield 'missing' => [null];
        yield 'a list' => [[]];
        yield 'true' => [true];
    }

    public function testReaderSyncReadsFromSynchronousAndQuorumStandbysOnly(): void
    {
        $members = [
            Nodes::leader(),
            Nodes::replica('async', '127.0.2.2'),
            Nodes::replica('sync', '127.0.2.3', ['role' => 'sync_standby']),
            Nodes::replica('quorum', '127.0.2.4', ['role' => 'quorum_standby']),
        ];
        $patroni = $this->cluster(...$members);

        self::configure($patroni, 'reader_sync=on');
        self::assertSame(['127.0.2.3', '127.0.2.4'], self::hosts());

        self::configure($patroni, 'reader_sync=off');
        self::assertSame(['127.0.2.2', '127.0.2.3', '127.0.2.4'], self::hosts());
    }

    public function testNoloadbalanceKeepsReadersAway(): void
    {
        self::configure($this->cluster(
            Nodes::leader(),
            Nodes::replica('backup', '127.0.2.2', ['tags' => ['noloadbalance' => true]]),
            Nodes::replica('pg3', '127.0.2.3', ['tags' => ['noloadbalance' => false, 'nofailover' => true]]),
        ));

        self::assertSame(['127.0.2.3'], self::hosts());
    }

    public function testOnlyReplicasThatStreamAreReadFrom(): void
    {
        $states = [
            'running', 'starting', 'stopped', 'stopping', 'crashed', 'creating replica', 'start failed', 'in archive recovery',
            'Streaming', '',
        ];
        $members = array_map(
            static fn(int $i, string $state): array => Nodes::replica("r$i", "127.0.100.$i", ['state' => $state]),
            array_keys($states),
            $states,
        );
        self::configure($this->cluster(Nodes::leader(), Nodes::replica(), ...$members));

        self::assertSame(['127.0.2.2'], self::hosts());
    }

    public function testWhenEveryReplicaHasStoppedStreamingTheyAreReadFrom(): void
    {
        // As Patroni describes the cluster for up to its ttl after the leader's machine has died: the lock is still there.
        self::configure($this->cluster(
            Nodes::leader(),
            Nodes::replica(more: ['state' => 'running']),
            Nodes::replica('pg3', '127.0.2.3', ['state' => 'running', 'role' => 'sync_standby']),
            Nodes::replica('pg4', '127.0.2.4', ['state' => 'stopped']),
        ));

        self::assertSame(['127.0.2.2', '127.0.2.3'], self::hosts());
    }

    public function testReadsGoOnAtOnceWhileThereIsNoLeader(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'failover_timeout=1m');
        HaDsn::reader();
        // As Patroni describes the cluster after the leader has crashed.
        $patroni->answers(Answer::members(
            Nodes::replica('pg2', '127.0.2.2', ['state' => 'running', 'lag' => 'unknown']),
            Nodes::replica('pg3', '127.0.2.3', ['state' => 'running', 'lag' => 'unknown']),
            Nodes::replica('pg4', '127.0.2.4', ['state' => 'in archive recovery']),
            Nodes::replica('pg5', '127.0.2.5', ['state' => 'stopped']),
            Nodes::replica('pg6', '127.0.2.6', ['state' => 'running', 'tags' => ['noloadbalance' => true]]),
        ));

        HaDsn::invalidate();
        $seconds = self::seconds(static fn() => self::assertSame(['127.0.2.2', '127.0.2.3', '127.0.2.4'], self::hosts()));

        self::assertLessThan(self::SOON, $seconds);
        self::assertLessThan(self::SOON, self::seconds(static fn() => HaDsn::conninfo('reader')));
    }

    public function testReadsGoOnWhilePatroniIsSilentAndTheLeaderIsSuspect(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'failover_timeout=1m&timeout=300ms');
        HaDsn::reader();
        $patroni->answers(Answer::silence());

        $seconds = self::seconds(static function (): void {
            for ($i = 0; $i < 10; ++$i) {
                HaDsn::invalidate();
                self::assertContains(self::host(HaDsn::reader()), ['127.0.2.2', '127.0.2.3']);
            }
        });

        self::assertLessThan(2 * self::SOON, $seconds);
    }

    /**
     * @dataProvider clustersWithoutAReplica
     *
     * @param list<array<string, mixed>> $members
     */
    public function testWithNoReplicaLeftAReaderReadsFromTheLeader(array $members, string $options): void
    {
        self::configure($this->cluster(...$members), $options);

        self::assertSame(['127.0.2.1'], self::hosts());
        self::assertSame('127.0.2.1', self::host(HaDsn::conninfo('reader')));
        self::assertStringNotContainsString('target_session_attrs', HaDsn::reader());
    }

    /**
     * @dataProvider clustersWithoutAReplica
     *
     * @param list<array<string, mixed>> $members
     */
    public function testWithNoReplicaLeftAndNoFallbackAReaderFailsAtOnce(array $members, string $options, string ...$reasons): void
    {
        $patroni = $this->cluster(...$members);
        self::configure($patroni, "reader_fallback=error&failover_timeout=1m&$options");

        foreach ([HaDsn::reader(...), static fn() => HaDsn::conninfo('reader')] as $call) {
            $seconds = self::seconds(
                static fn() => self::assertThrows(HaDsn\NoReplicaException::class, $call, "patroni {$patroni->address()}", ...$reasons),
            );
            self::assertLessThan(self::SOON, $seconds);
        }
    }

    /** @return iterable<string, list<mixed>> */
    public static function clustersWithoutAReplica(): iterable
    {
        yield 'the leader alone' => [[Nodes::leader()], 'ttl=10s', 'no replica'];
        yield 'stopped' => [[Nodes::leader(), Nodes::replica(more: ['state' => 'stopped'])], 'ttl=10s', '"pg2"', '"stopped"'];
        yield 'too far behind' => [[Nodes::leader(), Nodes::replica(more: ['lag' => 5])], 'max_lag=4', '"pg2"', '5 bytes'];
        yield 'behind by an unknown number' => [
            [Nodes::leader(), Nodes::replica(more: ['lag' => 'unknown'])],
            'max_lag=1GiB',
            '"pg2"',
            'unknown',
        ];
        yield 'not synchronous' => [[Nodes::leader(), Nodes::replica()], 'reader_sync=on', '"pg2"', 'synchronous'];
        yield 'noloadbalance' => [
            [Nodes::leader(), Nodes::replica(more: ['tags' => ['noloadbalance' => true]])],
            'ttl=10s',
            '"pg2"',
            'noloadbalance',
        ];
        yield 'not allowed' => [
            [Nodes::leader(), Nodes::replica(host: '127.0.100.2')],
            'allow_hosts=127.0.2.0/24',
            '"pg2"',
            'allow_hosts',
        ];
        yield 'not to be looked up' => [
            [Nodes::leader(), Nodes::replica(host: 'no-such-host.invalid')],
            'ttl=10s',
            '"pg2"',
            'no-such-host.invalid',
        ];
    }

    public function testAReaderThatFallsBackWaitsForALeaderAsAWriterDoes(): void
    {
        self::configure($this->cluster(Nodes::replica(more: ['state' => 'stopped'])), 'failover_timeout=300ms');

        $seconds = self::seconds(static fn() => self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::reader()));

        self::assertGreaterThanOrEqual(0.29, $seconds);
        self::assertLessThan(self::SOON, $seconds);
    }

    public function testTheReplicasOfAStandbyClusterAreReadFrom(): void
    {
        $standbyLeader = Nodes::leader(more: ['role' => 'standby_leader']);
        self::configure($this->cluster($standbyLeader, Nodes::replica()));
        self::assertSame(['127.0.2.2'], self::hosts());

        self::configure($this->cluster($standbyLeader));
        self::assertSame(['127.0.2.1'], self::hosts(), 'its leader, when nobody else is left');
    }

    private function three(): FakePatroni
    {
        return $this->cluster(
            Nodes::leader(),
            Nodes::replica('a', '127.0.2.2'),
            Nodes::replica('b', '127.0.2.3'),
            Nodes::replica('c', '127.0.2.4'),
        );
    }

    private function lagging(): FakePatroni
    {
        return $this->cluster(
            Nodes::leader(),
            Nodes::replica('none', '127.0.2.2', ['lag' => 0]),
            Nodes::replica('exactly', '127.0.2.3', ['lag' => 65536]),
            Nodes::replica('more', '127.0.2.4', ['lag' => 65537]),
            Nodes::replica('unknown', '127.0.2.5', ['lag' => 'unknown']),
        );
    }

    /**
     * The hosts that a number of calls lead to.
     *
     * @return list<string>
     */
    private static function hosts(?callable $call = null): array
    {
        $call ??= HaDsn::reader(...);
        $hosts = [];
        for ($i = 0; $i < 24; ++$i) {
            $hosts[self::host($call())] = true;
        }
        ksort($hosts);

        return array_keys($hosts);
    }

    /** @return array<string, int> how often each DSN came */
    private static function tally(callable $call, int $calls = self::CALLS): array
    {
        $counts = [];
        for ($i = 0; $i < $calls; ++$i) {
            $dsn = $call();
            $counts[$dsn] = ($counts[$dsn] ?? 0) + 1;
        }

        return $counts;
    }

    /** @return array<string, int> how often each DSN came in children that a process has forked after its first call */
    private function tallyOfForks(int $forks, int $calls): array
    {
        $code = <<<'PHP'
            [, $forks, $calls] = $argv;
            HaDsn::reader();
            [$ours, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, STREAM_IPPROTO_IP);
            $counts = [];
            for ($i = 0; $i < $forks; $i++) {
                if (pcntl_fork() === 0) {
                    for ($j = 0; $j < $calls; $j++) {
                        $dsn = HaDsn::reader();
                        $counts[$dsn] = ($counts[$dsn] ?? 0) + 1;
                    }
                    fwrite($theirs, json_encode($counts) . "\n");
                    exit;
                }
                foreach (json_decode(fgets($ours), true) as $dsn => $count) {
                    $all[$dsn] = ($all[$dsn] ?? 0) + $count;
                }
                pcntl_wait($status);
            }
            echo json_encode($all);
            PHP;
        $command = [...Php::command(), '-r', $code, '--', (string) $forks, (string) $calls];

        return (new Process($command, ['HADSN_URL' => self::url($this->three(), 'ttl=10m')]))->wait(120.0)->json();
    }

    /**
     * @param array<string, int> $counts
     * @param float              $tolerance the part of its share by which a count may be off
     */
    private static function assertShares(int $parts, array $counts, int $calls = self::CALLS, float $tolerance = 0.05): void
    {
        self::assertCount($parts, $counts);
        foreach ($counts as $dsn => $count) {
            self::assertEqualsWithDelta($calls / $parts, $count, $calls / $parts * $tolerance, $dsn);
        }
    }

    public function testAReplicaThatRefusesIsLeftOutAndNeverAllOfThem(): void
    {
        self::configure($this->cluster(...Nodes::healthy()), 'ttl=1m');
        HaDsn::reader();

        $refused = [self::refusedBy('127.0.2.2'), self::refusedBy('127.0.2.3')];
        // They are left out for five seconds: on a machine that was asleep for so long it is tried again.
        for ($begin = null; $begin === null || hrtime(true) - $begin > 4e9;) {
            $begin = hrtime(true);
            HaDsn::verdict($refused[0], HaDsn\Phase::Connect);
            $one = self::readers(20);
            HaDsn::verdict($refused[1], HaDsn\Phase::Connect, 'default');
            $both = self::readers(20);
            self::assertSame(['127.0.2.2', '127.0.2.3'], $both);
        }
        self::assertSame(['127.0.2.3'], $one);
    }

    public function testTheLeaderIsNotLeftOut(): void
    {
        self::configure($this->cluster(...Nodes::healthy()), 'ttl=1m');
        HaDsn::writer();

        HaDsn::verdict(self::refusedBy('127.0.2.1'), HaDsn\Phase::Connect);
        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        self::assertSame(['127.0.2.2', '127.0.2.3'], self::readers(20));
    }

    /** What PDO says of a server at which nobody listens. */
    private static function refusedBy(string $host): \Throwable
    {
        return self::thrown(static fn() => new \PDO("pgsql:host=$host;port=5432", 'u', 'p'));
    }

    /** @return list<string> the hosts that calls of reader() lead to */
    private static function readers(int $calls): array
    {
        $hosts = [];
        for ($i = 0; $i < $calls; $i++) {
            $hosts[self::host(HaDsn::reader())] = true;
        }
        ksort($hosts);

        return array_keys($hosts);
    }
}
