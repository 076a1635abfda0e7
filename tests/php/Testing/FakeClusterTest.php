<?php

declare(strict_types=1);

namespace HaDsn\Tests\Testing;

use HaDsn;
use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\FakeMember;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;

/**
 * A FakeCluster without a database: what the extension finds there.
 */
final class FakeClusterTest extends TestingTestCase
{
    public function testThreeMembersAreThereAndTheFirstLeads(): void
    {
        $cluster = $this->fake();
        $topology = HaDsn::topology();

        self::assertSame('pg1', $cluster->leader());
        self::assertSame('pg1', $topology->leader?->name);
        self::assertSame(['leader', 'replica', 'replica'], array_map(static fn(HaDsn\Member $one): string => $one->role, $topology->members));
        self::assertSame(['running', 'streaming', 'streaming'], array_map(static fn(HaDsn\Member $one): string => $one->state, $topology->members));
        self::assertSame("pgsql:host=127.0.0.1;port={$this->port($cluster, 'pg1')};", substr(HaDsn::writer(), 0, 32));
        self::assertNotNull(HaDsn::topology()->systemIdentifier, 'the leader was asked itself');
    }

    public function testMembersAreWhatTheyAreSaidToBe(): void
    {
        $cluster = $this->fake([
            new FakeMember('a', host: 'fd00::1', port: 5433),
            new FakeMember('b', 'sync_standby', host: '10.0.0.2'),
            new FakeMember('c', lag: null, tags: ['noloadbalance' => true], host: '10.0.0.3'),
            new FakeMember('d', lag: 4096, host: '10.0.0.4'),
        ]);

        self::assertSame('fd00::1', HaDsn::topology()->leader?->host);
        self::assertSame([null, 0, null, 4096], array_map(static fn(HaDsn\Member $one): ?int => $one->lag, HaDsn::topology()->members));
        self::assertSame('sync_standby', HaDsn::topology()->members[1]->role);
        self::assertSame(['noloadbalance' => true], HaDsn::topology()->members[2]->tags);
        self::assertSame('10.0.0.2', self::host(HaDsn::reader(maxLag: 100)));
        $cluster->lag('b', 5000);
        HaDsn::invalidate();
        self::assertSame('10.0.0.4', self::host(HaDsn::reader(maxLag: 4096)));
    }

    public function testTheWriterFollowsASwitchoverAndBack(): void
    {
        $cluster = $this->fake();
        self::assertWriter($cluster, 'pg1');

        $cluster->switchover();
        self::assertWriter($cluster, 'pg2');
        self::assertSame(2, HaDsn::topology()->timeline);

        $cluster->switchover('pg3');
        self::assertWriter($cluster, 'pg3');
        $cluster->switchover('pg1');
        self::assertWriter($cluster, 'pg1');
        self::assertSame(['leader', 'replica', 'replica'], array_column($cluster->members(), 'role'));
    }

    public function testTheWriterWaitsForALeaderThatComesLater(): void
    {
        $cluster = $this->fake();
        HaDsn::writer();
        foreach (['switchover', 'crash'] as $change) {
            $cluster->$change(seconds: 0.4);
            HaDsn::invalidate();
            $seconds = self::seconds(static function () use ($cluster, $change): void {
                do {
                    HaDsn::invalidate();
                    $dsn = HaDsn::writer();
                    // A dead leader is named until its lock expires.
                } while ($change === 'crash' && $cluster->leader() === 'pg2');
                self::assertStringContainsString(';port=', $dsn);
            });
            self::assertGreaterThan(0.2, $seconds);
            self::assertLessThan(self::SOON, $seconds);
        }
        self::assertWriter($cluster, 'pg1');
    }

    public function testAfterACrashTheOldLeaderIsGoneUntilItIsStarted(): void
    {
        $cluster = $this->fake();
        HaDsn::writer();
        $cluster->crash('pg3');

        self::assertWriter($cluster, 'pg3');
        self::assertSame(['pg2', 'pg3'], array_column($cluster->members(), 'name'));
        self::assertRefused($cluster->address('pg1'));

        $cluster->startMember('pg1');
        self::assertSame(['pg1', 'pg2', 'pg3'], array_column($cluster->members(), 'name'));
        self::assertWriter($cluster, 'pg3');
    }

    public function testWithoutALeaderReadersGoOn(): void
    {
        $cluster = $this->fake(options: ['failover_timeout' => '200ms']);
        HaDsn::writer();
        $cluster->noLeader();
        HaDsn::invalidate();

        self::assertNull($cluster->leader());
        self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer());
        self::assertStringContainsString(';port=', HaDsn::reader());

        $cluster->elect('pg3');
        self::assertWriter($cluster, 'pg3');
    }

    public function testASlowApiIsNoticed(): void
    {
        $cluster = $this->fake(options: ['timeout' => '300ms', 'max_stale' => '0s']);
        $cluster->slow(0.1);
        self::assertGreaterThan(0.1, self::seconds(static fn() => HaDsn::writer()));

        $cluster->slow(INF);
        HaDsn::invalidate();
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), '127.0.0.1');

        $cluster->slow(INF, 'pg1');
        $cluster->slow(0.0, 'pg2');
        self::assertWriter($cluster, 'pg1');
    }

    public function testAFrozenMemberSaysNothing(): void
    {
        $cluster = $this->fake();
        HaDsn::writer();
        $cluster->freeze('pg1');
        $cluster->elect();
        self::assertWriter($cluster, 'pg2');
        $socket = stream_socket_client('tcp://' . $cluster->address('pg1'), $code, $message, 2.0);
        self::assertIsResource($socket, 'its kernel still answers');

        $cluster->thaw('pg1');
        self::assertSame('pg2', $cluster->leader());
    }

    public function testItTellsHowOftenItWasAsked(): void
    {
        $cluster = $this->fake();
        HaDsn::writer();
        $asked = $cluster->requests();
        self::assertGreaterThanOrEqual(2, $asked);
        HaDsn::writer();
        self::assertSame($asked, $cluster->requests());
    }

    public function testConnectingSaysThatThereIsNoDatabase(): void
    {
        $this->fake();
        $seconds = self::seconds(static fn() => self::assertThrows(\PDOException::class, static fn() => HaDsn::connect('app', 'app'), 'FakeCluster::inFrontOf()'));
        self::assertLessThan(self::SOON, $seconds);
    }

    public function testTwoClustersNeverHaveTheSameSources(): void
    {
        $sources = [];
        for ($i = 0; $i < 5; ++$i) {
            $cluster = FakeCluster::start(new FakeMember('pg1'));
            $sources[] = $cluster->sources();
            $cluster->stop();
        }
        self::assertCount(5, array_unique($sources));
    }

    public function testSourcesAreWrittenSoThatTheyAreAccepted(): void
    {
        $cluster = $this->ending(FakeCluster::start());
        HaDsn::configure($cluster->sources('my shop/1', ['application_name' => 'a b&c', 'ttl' => '3s'], 'us:er', 'p@ss&?#/'));

        self::assertStringContainsString("password='p@ss&?#/'", strtr(HaDsn::conninfo(), ["password=p@ss&?#/" => "password='p@ss&?#/'"]));
        self::assertStringNotContainsString('p@ss', HaDsn::status()['clusters']['default']['source'] ?? '');
    }

    /**
     * @dataProvider mistakes
     */
    public function testAMistakeIsNamed(callable $call, string ...$texts): void
    {
        $thrown = self::thrown(fn() => $call($this->ending(FakeCluster::start())));
        self::assertInstanceOf(\LogicException::class, $thrown);
        foreach ($texts as $text) {
            self::assertStringContainsString($text, $thrown->getMessage());
        }
    }

    /** @return iterable<string, array<int, mixed>> */
    public static function mistakes(): iterable
    {
        yield 'an unknown member' => [static fn(FakeCluster $cluster) => $cluster->switchover('pg9'), '"pg9"', 'pg1, pg2, pg3'];
        yield 'the leader itself' => [static fn(FakeCluster $cluster) => $cluster->switchover('pg1'), '"pg1"', 'leads already'];
        yield 'an address of nobody' => [static fn(FakeCluster $cluster) => $cluster->address('pg9'), '"pg9"'];
        yield 'one that is down' => [
            static function (FakeCluster $cluster): void {
                $cluster->stopMember('pg2');
                $cluster->switchover('pg2');
            },
            '"pg2"',
            'down',
        ];
        yield 'nobody left' => [
            static function (FakeCluster $cluster): void {
                $cluster->stopMember('pg2');
                $cluster->stopMember('pg3');
                $cluster->crash();
            },
            'no replica that could lead',
        ];
        yield 'nobody to switch from' => [
            static function (FakeCluster $cluster): void {
                $cluster->noLeader();
                $cluster->switchover();
            },
            'nobody leads',
        ];
        yield 'after its end' => [
            static function (FakeCluster $cluster): void {
                $cluster->stop();
                $cluster->switchover();
            },
            'was stopped',
        ];
        yield 'no statement' => [static fn(FakeCluster $cluster) => $cluster->before(' '), 'a statement to wait for'];
        yield 'no number' => [static fn(FakeCluster $cluster) => $cluster->before('COMMIT', 0), 'nth 0'];
        yield 'the same name twice' => [static fn() => FakeCluster::start(new FakeMember('a'), new FakeMember('a')), 'same name', 'a, a'];
        yield 'an address in front of a server' => [static fn() => FakeCluster::inFrontOf('127.0.0.1', 5432, new FakeMember('a', host: '10.0.0.1')), '10.0.0.1'];
        yield 'an unknown role' => [static fn() => new FakeMember('a', 'leader'), '"leader"'];
        yield 'a negative lag' => [static fn() => new FakeMember('a', lag: -1), '-1'];
        yield 'no name' => [static fn() => new FakeMember(''), 'name'];
    }

    public function testAServerThatIsNotThereIsNamedAtOnce(): void
    {
        [$host, $port] = explode(':', self::deadAddress());
        self::assertThrows(\RuntimeException::class, static fn() => FakeCluster::inFrontOf($host, (int) $port), "$host:$port", 'Connection refused');
    }

    public function testItEndsWithItsObject(): void
    {
        $cluster = FakeCluster::start(new FakeMember('pg1'));
        $address = $cluster->address('pg1');
        unset($cluster);
        self::assertRefused($address);
    }

    /**
     * @dataProvider endings
     */
    public function testItEndsWithTheProcessHoweverThatEnds(string $ending): void
    {
        $autoload = var_export(dirname(__DIR__) . '/Connection/autoload.php', true);
        $process = Php::start("require $autoload; \$cluster = HaDsn\\Testing\\FakeCluster::start(new HaDsn\\Testing\\FakeMember('pg1')); echo \$cluster->address('pg1'), \"\\n\"; $ending");
        $address = $process->waitFor('~^(127\.0\.0\.1:\d+)\n~', 20.0)[1];
        if ($ending === 'sleep(60);') {
            $process->signal(SIGKILL);
        }
        $process->wait(20.0);
        self::await(static fn(): bool => self::isRefused($address), 'nobody listens');
        self::assertTrue(self::isRefused($address));
    }

    /** @return iterable<string, array{string}> */
    public static function endings(): iterable
    {
        yield 'in the usual way' => [''];
        yield 'by exit' => ['exit(3);'];
        yield 'by an error' => ['nobody();'];
        yield 'killed' => ['sleep(60);'];
    }

    public function testAForkedChildLeavesItAlone(): void
    {
        $autoload = var_export(dirname(__DIR__) . '/Connection/autoload.php', true);
        $outcome = Php::run(<<<PHP
            require $autoload;
            \$cluster = HaDsn\\Testing\\FakeCluster::start();
            \$child = pcntl_fork();
            if (\$child === 0) {
                exit(0);
            }
            pcntl_waitpid(\$child, \$status);
            echo \$cluster->leader();
            PHP);
        self::assertSame([0, 'pg1', ''], [$outcome->exitCode, $outcome->stdout, $outcome->stderr]);
    }

    public function testItEndsWithAKilledTestAlthoughAChildOfThatLivesOn(): void
    {
        $autoload = var_export(dirname(__DIR__) . '/Connection/autoload.php', true);
        $process = Php::start(<<<PHP
            require $autoload;
            \$cluster = HaDsn\Testing\FakeCluster::start(new HaDsn\Testing\FakeMember('pg1'));
            \$child = pcntl_fork();
            if (\$child === 0) {
                sleep(60);
                posix_kill(getmypid(), SIGKILL);
            }
            echo \$cluster->address('pg1'), ' ', \$child, "\\n";
            sleep(60);
            PHP);
        [, $address, $child] = $process->waitFor('~^(127\.0\.0\.1:\d+) (\d+)\n~', 20.0);
        $process->signal(SIGKILL);
        try {
            self::await(static fn(): bool => self::isRefused($address), 'nobody listens');
            self::assertTrue(posix_kill((int) $child, 0), 'the child is there');
        } finally {
            posix_kill((int) $child, SIGKILL);
        }
    }

    public function testAProcessThatTheTestStartsDoesNotKeepIt(): void
    {
        $cluster = FakeCluster::start(new FakeMember('pg1'));
        $held = (new Process(['/bin/sh', '-c', 'ls -l /proc/$$/fd']))->wait(20.0)->stdout;
        self::assertStringNotContainsString('socket:', $held);
        $cluster->stop();
    }

    public function testASignalDoesNotDisturbAQuestion(): void
    {
        $cluster = $this->ending(FakeCluster::start());
        $caught = 0;
        pcntl_async_signals(true);
        pcntl_signal(SIGUSR1, static function () use (&$caught): void {
            ++$caught;
        }, false);
        $me = getmypid();
        $child = pcntl_fork();
        if ($child === 0) {
            while (posix_kill($me, SIGUSR1)) {
                usleep(100);
            }
            posix_kill(getmypid(), SIGKILL);
        }
        try {
            for ($deadline = microtime(true) + 20.0; $caught < 300 && microtime(true) < $deadline;) {
                self::assertSame('pg1', $cluster->leader());
            }
            self::assertGreaterThanOrEqual(300, $caught);
        } finally {
            posix_kill($child, SIGKILL);
            pcntl_waitpid($child, $status);
            pcntl_signal(SIGUSR1, SIG_DFL);
            pcntl_async_signals(false);
        }
    }

    public function testAQuestionThatWasBrokenOffDoesNotSpoilTheNext(): void
    {
        $cluster = $this->ending(FakeCluster::start());
        pcntl_async_signals(true);
        pcntl_signal(SIGALRM, static fn() => throw new \DomainException('the time limit'));
        try {
            $broken = 0;
            for ($i = 0; $i < 100; ++$i) {
                // It can come from where it is expected on.
                pcntl_sigprocmask(SIG_BLOCK, [SIGALRM]);
                $child = pcntl_fork();
                if ($child === 0) {
                    usleep(10 * $i);
                    posix_kill(posix_getppid(), SIGALRM);
                    posix_kill(getmypid(), SIGKILL);
                }
                try {
                    pcntl_sigprocmask(SIG_UNBLOCK, [SIGALRM]);
                    while (true) {
                        $cluster->members();
                    }
                } catch (\DomainException) {
                    ++$broken;
                }
                pcntl_waitpid($child, $status);
                self::assertSame([0, 'pg1'], [$cluster->requests(), $cluster->leader()]);
            }
            self::assertSame(100, $broken);
        } finally {
            pcntl_signal(SIGALRM, SIG_DFL);
            pcntl_async_signals(false);
        }
    }

    public function testThatItsProcessHasEndedIsSaid(): void
    {
        $cluster = $this->ending(FakeCluster::start());
        $children = (new Process(['/usr/bin/pgrep', '-P', (string) getmypid(), '-f', 'Testing/Server/serve.php']))->wait(20.0)->stdout;
        posix_kill((int) $children, SIGKILL);
        self::await(static fn(): bool => self::isRefused($cluster->address('pg1')), 'it has ended');

        self::assertThrows(\RuntimeException::class, static fn() => $cluster->leader(), 'FakeCluster: its process has ended');
    }

    public function testAMemberGoesAndComesAsOftenAsOneLikes(): void
    {
        $cluster = $this->fake();
        $address = $cluster->address('pg2');
        for ($i = 0; $i < 20; ++$i) {
            $cluster->stopMember('pg2');
            self::assertRefused($address);
            $cluster->startMember('pg2');
            self::assertFalse(self::isRefused($address));
        }
    }

    public function testWithoutTheExtensionItWorksToo(): void
    {
        $autoload = dirname(__DIR__) . '/Connection/autoload.php';
        $code = 'require $argv[1]; $c = HaDsn\Testing\FakeCluster::start(); $c->switchover(); echo extension_loaded("hadsn") ? "loaded" : $c->leader();';
        $outcome = (new Process([PHP_BINARY, '-n', '-r', $code, $autoload]))->wait(20.0);
        self::assertSame([0, 'pg2', ''], [$outcome->exitCode, $outcome->stdout, $outcome->stderr]);
    }

    /**
     * @param list<FakeMember>      $members
     * @param array<string, string> $options
     */
    private function fake(array $members = [], array $options = []): FakeCluster
    {
        $cluster = $this->ending(FakeCluster::start(...$members));
        HaDsn::configure($cluster->sources('app', $options + ['failover_timeout' => '5s']));

        return $cluster;
    }

    private function port(FakeCluster $cluster, string $member): string
    {
        return explode(':', $cluster->address($member))[1];
    }

    private static function assertWriter(FakeCluster $cluster, string $member): void
    {
        HaDsn::invalidate();
        // It looks a few times a second at most.
        self::await(static function (): bool {
            HaDsn::topology();

            return HaDsn::status()['clusters']['default']['state'] !== 'suspect';
        }, 'hadsn has looked');
        self::assertStringStartsWith('pgsql:host=127.0.0.1;port=' . explode(':', $cluster->address($member))[1] . ';', HaDsn::writer(), $member);
    }

    private static function assertRefused(string $address): void
    {
        self::assertTrue(self::isRefused($address), $address);
    }

    /** Whether nobody listens; asked by PDO, which says so by an exception. */
    private static function isRefused(string $address): bool
    {
        [$host, $port] = explode(':', $address);

        return str_contains(self::pdoError(static fn() => new \PDO("pgsql:host=$host;port=$port;dbname=app", 'app', 'app'))->getMessage(), 'Connection refused');
    }
}
