<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Outcome;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * A signal while a writer waits for the leader.
 */
final class SignalsTest extends UnitTestCase
{
    private const OPTIONS = 'failover_timeout=30s';

    /** Waits, and tells what came of it. */
    private const WAIT = <<<'PHP'
        $handled = 0;
        $start = hrtime(true);
        try {
            $result = HaDsn::writer();
        } catch (Throwable $e) {
            $result = get_class($e) . ': ' . $e->getMessage();
        }
        // PHP runs handlers when the code jumps.
        for ($i = 0; $i < 2; ++$i);
        echo json_encode(['result' => $result, 'handled' => $handled, 'seconds' => (hrtime(true) - $start) / 1e9]);
        PHP;

    public function testWithAsyncSignalsTheHandlerRunsAndTheWaitEnds(): void
    {
        $said = $this->waitAndSignal(
            'pcntl_async_signals(true); pcntl_signal(SIGALRM, function () use (&$handled) { ++$handled; });' . self::WAIT,
        );

        self::assertStringStartsWith('HaDsn\NoLeaderException: ', $said['result']);
        self::assertStringContainsString('signal', $said['result']);
        self::assertSame(1, $said['handled']);
        self::assertLessThan(15.0, $said['seconds']);
    }

    public function testWithoutAsyncSignalsTheWaitEndsAndTheHandlerRunsWhenItIsAskedFor(): void
    {
        $code = 'pcntl_signal(SIGALRM, function () use (&$handled) { ++$handled; }); ob_start();' . self::WAIT
            . '$said = json_decode(ob_get_clean(), true); pcntl_signal_dispatch(); echo json_encode(["dispatched" => $handled] + $said);';
        $said = $this->waitAndSignal($code);

        self::assertStringStartsWith('HaDsn\NoLeaderException: ', $said['result']);
        self::assertSame([0, 1], [$said['handled'], $said['dispatched']]);
        self::assertLessThan(15.0, $said['seconds']);
    }

    public function testWhatAHandlerThrowsComesOutOfTheCall(): void
    {
        $said = $this->waitAndSignal(
            'pcntl_async_signals(true); pcntl_signal(SIGALRM, function () { throw new DomainException("enough"); });' . self::WAIT,
        );

        self::assertSame('DomainException: enough', $said['result']);
        self::assertLessThan(15.0, $said['seconds']);
    }

    public function testAHandlerMayExit(): void
    {
        $outcome = $this->signal(
            $this->withoutALeader(),
            'pcntl_async_signals(true); pcntl_signal(SIGALRM, function () { echo "bye"; exit(7); });' . self::WAIT,
        );

        self::assertSame([7, 'bye', ''], [$outcome->exitCode, $outcome->stdout, $outcome->stderr]);
    }

    public function testAHandlerMayUseHadsnItself(): void
    {
        $code = <<<'PHP'
            pcntl_async_signals(true);
            pcntl_signal(SIGALRM, function () use (&$handled) {
                HaDsn::invalidate();
                HaDsn::topology();
                HaDsn::configure('patroni://127.0.0.1:1/app');
                $handled = HaDsn::status()['clusters']['default']['source'];
            });
            PHP;
        $said = $this->waitAndSignal($code . self::WAIT);

        self::assertStringStartsWith('HaDsn\NoLeaderException: ', $said['result']);
        self::assertSame('patroni://127.0.0.1:1/app', $said['handled']);
    }

    public function testAReaderThatWaitsIsEndedToo(): void
    {
        $said = $this->waitAndSignal(
            'pcntl_async_signals(true); pcntl_signal(SIGALRM, fn () => 0);' . strtr(self::WAIT, ['writer()' => 'reader()']),
        );

        self::assertStringStartsWith('HaDsn\NoLeaderException: ', $said['result']);
        self::assertLessThan(15.0, $said['seconds']);
    }

    public function testAnIgnoredSignalDoesNotEndTheWait(): void
    {
        $patroni = $this->withoutALeader();
        $code = 'pcntl_async_signals(true); pcntl_signal(SIGALRM, SIG_IGN);' . self::WAIT;

        $outcome = $this->signal($patroni, $code, static fn() => $patroni->answers(Answer::members(...Nodes::healthy())));

        self::assertStringStartsWith('pgsql:host=127.0.2.1;', $outcome->json()['result']);
    }

    public function testASignalWithoutAHandlerEndsTheProcessAsUsual(): void
    {
        self::assertSame(128 + SIGALRM, $this->signal($this->withoutALeader(), self::WAIT)->exitCode);
    }

    public function testAWaitGoesOnAfterASignalWhenItIsAskedAgain(): void
    {
        $code = <<<'PHP'
            pcntl_async_signals(true);
            pcntl_signal(SIGALRM, function () { fwrite(STDERR, "handled\n"); });
            for ($tries = 1; ; ++$tries) {
                try {
                    echo json_encode([$tries, HaDsn::writer()]);
                    break;
                } catch (HaDsn\NoLeaderException) {
                }
            }
            PHP;
        $patroni = $this->withoutALeader();
        $process = Php::start($code, env: ['HADSN_URL' => self::url($patroni, self::OPTIONS)]);
        self::await(static fn(): bool => $patroni->count() >= 2, 'the writer waits');
        $process->signal(SIGALRM);
        $process->waitFor('/handled/', 10.0, 2);
        $patroni->answers(Answer::members(...Nodes::healthy()));

        [$tries, $dsn] = $process->wait(20.0)->json();

        self::assertSame(2, $tries);
        self::assertStringStartsWith('pgsql:host=127.0.2.1;', $dsn);
    }

    /**
     * @dataProvider looks
     */
    public function testASignalDuringALookThatFailsIsNotLost(string $call): void
    {
        $silent = $this->patroni(Answer::silence());
        $code = 'pcntl_async_signals(true); pcntl_signal(SIGALRM, function () use (&$handled) { ++$handled; });'
            . strtr(self::WAIT, ['HaDsn::writer()' => $call]);

        $process = Php::start($code, env: ['HADSN_URL' => self::url($silent, 'timeout=1s&' . self::OPTIONS)]);
        self::await(static fn(): bool => $silent->count() === 1, 'Patroni is asked');
        $process->signal(SIGALRM);
        $said = $process->wait(20.0)->json();

        self::assertSame(1, $said['handled']);
        self::assertStringContainsString('Exception: ', $said['result']);
    }

    /** @return iterable<string, array{string}> */
    public static function looks(): iterable
    {
        yield from self::calls();
        yield 'connect' => ["HaDsn::connect('app', 'app')"];
        yield 'a DSN' => ["new PDO('hadsn:', 'app', 'app')"];
    }

    /**
     * @dataProvider calls
     */
    public function testASignalDuringALookDoesNotSpoilTheAnswer(string $call): void
    {
        $slow = $this->patroni(Answer::members(...Nodes::healthy())->after(0.5));
        $code = 'pcntl_async_signals(true); pcntl_signal(SIGALRM, function () use (&$handled) { ++$handled; });'
            . strtr(self::WAIT, ['HaDsn::writer()' => $call]);

        $process = Php::start($code, env: ['HADSN_URL' => self::url($slow, 'timeout=20s&' . self::OPTIONS)]);
        self::await(static fn(): bool => $slow->count() === 1, 'Patroni is asked');
        $process->signal(SIGALRM);
        $said = $process->wait(20.0)->json();

        self::assertStringContainsString('127.0.2.', $said['result']);
        self::assertSame(1, $said['handled']);
    }

    /** @return iterable<string, array{string}> */
    public static function calls(): iterable
    {
        yield 'writer' => ['HaDsn::writer()'];
        yield 'reader' => ['HaDsn::reader()'];
        yield 'conninfo' => ['HaDsn::conninfo()'];
        yield 'topology' => ['HaDsn::topology()->leader->host'];
    }

    private function withoutALeader(): FakePatroni
    {
        return $this->cluster(Nodes::replica(more: ['state' => 'stopped']));
    }

    /** @return array<string, mixed> */
    private function waitAndSignal(string $code): array
    {
        $outcome = $this->signal($this->withoutALeader(), $code);
        self::assertSame('', $outcome->stderr);

        return $outcome->json();
    }

    /** Runs code, and sends it SIGALRM once it waits for a leader. */
    private function signal(FakePatroni $patroni, string $code, ?callable $afterwards = null): Outcome
    {
        $process = Php::start($code, env: ['HADSN_URL' => self::url($patroni, self::OPTIONS)]);
        self::await(static fn(): bool => $patroni->count() >= 2, 'the writer waits');
        $process->signal(SIGALRM);
        if ($afterwards !== null) {
            $afterwards();
        }

        return $process->wait(25.0);
    }
}
