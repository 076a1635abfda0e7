<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn\ConfigException;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * What hadsn costs the process that it lives in: memory, descriptors, threads, forks.
 */
final class ProcessTest extends UnitTestCase
{
    /** Functions that look at the process from inside. */
    private const LOOK = <<<'PHP'
        function status(string $field): int {
            preg_match("/^$field:\s+(\d+)/m", file_get_contents('/proc/self/status'), $found);
            return (int) $found[1];
        }
        function descriptors(): int {
            return count(scandir('/proc/self/fd'));
        }
        function state(): array {
            gc_collect_cycles();
            return ['memory' => memory_get_usage(), 'rss' => status('VmRSS') * 1024, 'fd' => descriptors()];
        }
        PHP;

    /**
     * @dataProvider calls
     */
    public function testAHundredThousandCallsLeaveNothingBehind(string $call): void
    {
        $code = self::LOOK . <<<PHP
            \$run = function (int \$times) { for (\$i = 0; \$i < \$times; ++\$i) { $call; } };
            \$run(10_000);
            \$before = state();
            \$run(100_000);
            echo json_encode([\$before, state()]);
            PHP;
        [$before, $after] = Php::run($code, env: ['HADSN_URL' => self::url($this->cluster(...Nodes::healthy()), 'ttl=20ms')])->json();

        self::assertLessThan(4096, $after['memory'] - $before['memory']);
        self::assertLessThan(2 << 20, $after['rss'] - $before['rss']);
        self::assertSame($before['fd'], $after['fd']);
    }

    /** @return iterable<string, array{string}> */
    public static function calls(): iterable
    {
        yield 'writer' => ['HaDsn::writer()'];
        yield 'writer of a named cluster' => ['HaDsn::writer("default")'];
        yield 'reader' => ['HaDsn::reader()'];
        yield 'reader with a lag' => ['HaDsn::reader("default", 1000)'];
        yield 'conninfo' => ['HaDsn::conninfo("reader")'];
        yield 'topology' => ['HaDsn::topology()'];
        yield 'status' => ['HaDsn::status()'];
        yield 'a refused call' => ['try { HaDsn::writer("Bad"); } catch (HaDsn\ConfigException) {}'];
        yield 'a string that is kept and changed' => ['$all[$i % 7] = HaDsn::writer(); $all[$i % 7] .= ";x"'];
    }

    public function testThousandsOfLooksLeaveNothingBehind(): void
    {
        $code = self::LOOK . <<<'PHP'
            $run = function (int $times) { for ($i = 0; $i < $times; ++$i) { HaDsn::writer(); HaDsn::reader(); HaDsn::topology(); } };
            $run(100);
            $before = state();
            $run(700);
            echo json_encode([$before, state()]);
            PHP;
        $patroni = $this->cluster(...Nodes::healthy());
        [$before, $after] = Php::run($code, env: ['HADSN_URL' => self::url($patroni, 'ttl=0s')])->json();

        self::assertSame(3 * 800, $patroni->count(), 'ttl=0s asks every time');
        self::assertLessThan(16384, $after['memory'] - $before['memory']);
        self::assertLessThan(4 << 20, $after['rss'] - $before['rss']);
        self::assertSame($before['fd'], $after['fd']);
    }

    public function testBadEndpointsLeaveNeitherDescriptorsNorThreadsBehind(): void
    {
        $code = self::LOOK . <<<'PHP'
            $descriptors = descriptors();
            for ($i = 0; $i < 5; ++$i) {
                HaDsn::invalidate();
                try { HaDsn::writer(); } catch (HaDsn\DiscoveryException) {}
            }
            // Whoever is still being asked has the time of one look.
            for ($end = hrtime(true) + 10e9; hrtime(true) < $end && (status('Threads') > 1 || descriptors() > $descriptors); usleep(10_000));
            echo json_encode([status('Threads'), descriptors() - $descriptors]);
            PHP;
        $endpoints = [
            $this->patroni(Answer::silence()),
            $this->patroni(Answer::drip()),
            $this->patroni(Answer::slam()),
            $this->patroni(Answer::stall()),
            self::deadAddress(),
        ];

        self::assertSame([1, 0], Php::run($code, env: ['HADSN_URL' => self::url($endpoints, 'timeout=300ms')])->json());
    }

    public function testManyClustersInOneProcessDoNotGrowIt(): void
    {
        $code = self::LOOK . <<<'PHP'
            $run = function (int $from, int $to) {
                for ($i = $from; $i < $to; ++$i) {
                    HaDsn::configure(getenv('SOURCES') . "&application_name=tenant$i");
                    HaDsn::status();
                }
            };
            $run(0, 2000);
            $before = state();
            $run(2000, 20000);
            echo json_encode([$before, state()]);
            PHP;
        [$before, $after] = Php::run($code, env: ['SOURCES' => 'patroni://127.0.0.1:1/app?ttl=5s'])->json();

        self::assertLessThan(16384, $after['memory'] - $before['memory']);
        self::assertLessThan(4 << 20, $after['rss'] - $before['rss']);
    }

    public function testAForkedChildResolvesOnItsOwn(): void
    {
        $code = <<<'PHP'
            $own = HaDsn::writer();
            $pids = [];
            for ($i = 0; $i < 4; ++$i) {
                if (($pid = pcntl_fork()) === 0) {
                    HaDsn::invalidate();
                    $hosts = [];
                    for ($n = 0; $n < 40; ++$n) { $hosts[HaDsn::reader()] = true; }
                    exit(HaDsn::writer() === $own && count($hosts) === 2 && HaDsn::topology()->leader->name === 'pg1' ? 40 + $i : 1);
                }
                $pids[] = $pid;
            }
            $codes = [];
            foreach ($pids as $pid) { pcntl_waitpid($pid, $status); $codes[] = pcntl_wifexited($status) ? pcntl_wexitstatus($status) : -1; }
            HaDsn::invalidate();
            echo json_encode([$codes, HaDsn::writer() === $own]);
            PHP;
        // A silent endpoint makes the threads of the parent live when it forks.
        $patroni = $this->cluster(...Nodes::healthy());
        $url = self::url([$this->patroni(Answer::silence()), $patroni], 'hedge=50ms&timeout=2s');

        self::assertSame([[40, 41, 42, 43], true], Php::run($code, env: ['HADSN_URL' => $url])->json());
        self::assertSame(6, $patroni->count(), 'parent, four children, and the parent again');
    }

    public function testAChildThatForksWhileTheLeaderIsAwaitedIsNotHarmed(): void
    {
        $code = <<<'PHP'
            pcntl_async_signals(true);
            pcntl_signal(SIGALRM, function () {
                if (($pid = pcntl_fork()) === 0) {
                    try { HaDsn::reader(); $code = 1; } catch (HaDsn\NoLeaderException) { $code = 42; }
                    exit($code);
                }
                pcntl_waitpid($pid, $status);
                echo pcntl_wifexited($status) ? pcntl_wexitstatus($status) : 'killed';
            });
            try { HaDsn::writer(); } catch (HaDsn\NoLeaderException) { echo ' done'; }
            PHP;
        $patroni = $this->cluster(Nodes::replica(more: ['state' => 'stopped']));
        $process = Php::start($code, env: ['HADSN_URL' => self::url($patroni, 'failover_timeout=3s')]);
        self::await(static fn(): bool => $patroni->count() >= 2, 'the writer waits');
        $process->signal(SIGALRM);

        self::assertSame('42 done', $process->wait(20.0)->stdout);
    }

    /**
     * @dataProvider engines
     *
     * @param array<string, string> $ini
     */
    public function testItWorksUnderOpcacheAndJit(array $ini): void
    {
        $code = <<<'PHP'
            function hot(): array {
                $hosts = [];
                for ($i = 0; $i < 60_000; ++$i) {
                    $dsn = $i % 2 ? HaDsn::writer() : HaDsn::reader();
                    $hosts[$dsn] = ($hosts[$dsn] ?? 0) + 1;
                    if ($i % 20_000 === 0) { HaDsn::invalidate(); }
                    try {
                        HaDsn::writer($i % 100 ? 'default' : 'Bad');
                    } catch (HaDsn\ConfigException $e) {
                        $hosts[$e::class] = ($hosts[$e::class] ?? 0) + 1;
                    }
                }
                return $hosts;
            }
            $status = opcache_get_status();
            echo json_encode([hot(), $status['opcache_enabled'], $status['jit']['on']]);
            PHP;
        $directory = new Directory();
        $file = $directory->write('hot.php', "<?php $code");
        $url = self::url($this->cluster(...Nodes::healthy()), 'poll=1m&ttl=2m');
        $process = new Process([...Php::command($ini), $file], ['HADSN_URL' => $url]);

        $outcome = $process->wait(60.0);

        self::assertSame('', $outcome->stderr);
        [$counts, $hasOpcache, $hasJit] = $outcome->json();
        self::assertSame([true, $ini['opcache.jit_buffer_size'] !== '0'], [$hasOpcache, $hasJit]);
        self::assertSame(600, $counts[ConfigException::class]);
        unset($counts[ConfigException::class]);
        ksort($counts);
        self::assertSame(['127.0.2.1', '127.0.2.2', '127.0.2.3'], array_map(self::host(...), array_keys($counts)));
        foreach ([30_000, 15_000, 15_000] as $i => $expected) {
            self::assertEqualsWithDelta($expected, array_values($counts)[$i], 750);
        }
    }

    /** @return iterable<string, array{array<string, string>}> */
    public static function engines(): iterable
    {
        $opcache = ['opcache.enable' => '1', 'opcache.enable_cli' => '1', 'opcache.file_update_protection' => '0'];
        yield 'opcache' => [$opcache + ['opcache.jit' => 'disable', 'opcache.jit_buffer_size' => '0']];
        yield 'tracing JIT' => [$opcache + ['opcache.jit' => 'tracing', 'opcache.jit_buffer_size' => '32M']];
        yield 'function JIT' => [$opcache + ['opcache.jit' => 'function', 'opcache.jit_buffer_size' => '32M']];
    }

    public function testAFatalErrorRightAfterACallEndsThePhpProcessInOrder(): void
    {
        $outcome = Php::run(
            'ini_set("memory_limit", "8M"); while (true) { $all[] = HaDsn::topology(); }',
            env: ['HADSN_URL' => self::url($this->cluster(...Nodes::healthy()))],
        );

        self::assertSame(255, $outcome->exitCode);
        self::assertStringContainsString('Allowed memory size', $outcome->stderr);
    }
}
