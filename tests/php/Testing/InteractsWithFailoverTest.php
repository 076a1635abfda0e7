<?php

declare(strict_types=1);

namespace HaDsn\Tests\Testing;

use HaDsn;
use HaDsn\CommitUnknownException;
use HaDsn\Connection;
use HaDsn\Phase;
use HaDsn\Testing\FakeMember;
use HaDsn\Testing\InteractsWithFailover;
use HaDsn\Testing\PdoErrors;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Verdict;
use PHPUnit\Framework\AssertionFailedError;

/**
 * The assertions hold when they should, and fail when they should.
 */
final class InteractsWithFailoverTest extends TestingTestCase
{
    use InteractsWithFailover;

    public function testTheWriterIsFollowed(): void
    {
        $cluster = $this->fakeCluster();
        $this->assertWriterIs('pg1');
        $this->assertWriterStayed();
        self::assertFails(fn() => $this->assertWriterMoved(), 'the one that led at the beginning');
        self::assertFails(fn() => $this->assertWriterIs('pg2'), 'the member that hadsn writes to');

        $cluster->switchover();
        $this->assertWriterIs('pg2');
        $this->assertWriterMoved();
        $this->assertWriterMoved('pg2');
        self::assertFails(fn() => $this->assertWriterMoved('pg3'));
        self::assertFails(fn() => $this->assertWriterStayed());
        self::assertFails(fn() => $this->assertWriterStayed('the shop stays'), 'the shop stays');
    }

    public function testReadersAreFound(): void
    {
        $cluster = $this->fakeCluster([new FakeMember('a'), new FakeMember('b'), new FakeMember('c', lag: 5000)], ['max_lag' => '1000']);
        $this->assertReadersAre('b');
        self::assertFails(fn() => $this->assertReadersAre('b', 'c'));
        $cluster->lag('c', 0);
        $this->assertReadersAre('c', 'b');
        $cluster->stopMember('b');
        $cluster->stopMember('c');
        $this->assertReadersAre('a');
    }

    public function testThatThereIsNoReaderCanBeSaid(): void
    {
        $cluster = $this->fakeCluster([new FakeMember('1'), new FakeMember('2')], ['reader_fallback' => 'error', 'reader' => 'random']);
        $this->assertReadersAre('2');
        $cluster->stopMember('2');
        $this->assertReadersAre();
        self::assertFails(fn() => $this->assertReadersAre('2'), 'the members that hadsn reads from');
    }

    public function testAClusterOfAnotherNameIsFaked(): void
    {
        $this->fakeCluster(name: 'orders')->switchover();
        $this->assertWriterMoved('pg2');
        self::assertStringContainsString(';port=', HaDsn::writer('orders'));
    }

    public function testRepeatsAreCounted(): void
    {
        $cluster = $this->inFront();
        $cluster->before(self::INSERT . '(1)')->switchover();
        $db = new Connection('app', 'app');
        $db->transaction(function (\PDO $pdo): void {
            $pdo->exec(self::INSERT . '(1)');
            $pdo->exec(self::INSERT . '(2)');
            $this->assertConnectedTo('pg2', $pdo);
            self::assertFails(fn() => $this->assertConnectedTo('pg1', $pdo));
        });

        $this->assertRetried(self::INSERT . '(1)');
        $this->assertRetried(self::INSERT . '(1)', 1);
        $this->assertNotRetried(self::INSERT . '(2)');
        $this->assertDone(2, 'INSERT INTO entry');
        self::assertFails(
            fn() => $this->assertRetried(self::INSERT . '(1)', 2),
            'how often it was sent again',
            'pg1, connection 1, not sent: INSERT INTO entry VALUES (1)',
            'pg2, connection 2, done: INSERT INTO entry VALUES (1)',
        );
        self::assertFails(fn() => $this->assertRetried(self::INSERT . '(2)'), 'was sent once');
        self::assertFails(fn() => $this->assertRetried('DELETE'), 'was never sent');
        self::assertFails(fn() => $this->assertNotRetried(self::INSERT . '(1)'));
        self::assertFails(fn() => $this->assertNotRetried('DELETE'));
        self::assertFails(fn() => $this->assertDone(1, 'INSERT INTO entry'));
    }

    public function testDoubtIsRecognised(): void
    {
        $cluster = $this->inFront();
        $cluster->after('COMMIT')->crash();
        $db = new Connection('app', 'app');

        $error = $this->assertInDoubt(static fn() => $db->transaction(static fn(\PDO $pdo) => $pdo->exec(self::INSERT . '(1)')));
        self::assertInstanceOf(CommitUnknownException::class, $error);
        $this->assertInDoubt(static fn() => throw new \RuntimeException('wrapped', 0, $error));
        $this->assertInDoubt(static fn() => throw PdoErrors::connectionLost(), Phase::Autocommit);
        self::assertFails(fn() => $this->assertInDoubt(static fn() => throw PdoErrors::connectionLost(), Phase::InTransaction));
        self::assertFails(fn() => $this->assertInDoubt(static fn() => null), 'has ended well');
        self::assertVerdict(Verdict::Retry, PdoErrors::refused());
        self::assertFails(static fn() => self::assertVerdict(Verdict::InDoubt, PdoErrors::refused()));
    }

    public function testTheLackOfALeaderIsRecognised(): void
    {
        $cluster = $this->fakeCluster(options: ['failover_timeout' => '100ms']);
        $cluster->noLeader();
        $this->assertNoLeader(static fn() => HaDsn::connect('app', 'app'));
        $this->assertNoLeader(static fn() => new \PDO('hadsn:', 'app', 'app'));
        self::assertFails(fn() => $this->assertNoLeader(static fn() => throw new \RuntimeException('other')), 'other');
    }

    public function testWhatNeverHappenedFailsTheTest(): void
    {
        $cluster = $this->inFront();
        $cluster->before('INSERT INTO nowhere')->switchover();
        $cluster->after('COMMIT', 3)->crash();
        $db = new Connection('app', 'app');
        $db->transaction(static fn(\PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));

        self::assertFails(
            fn() => $this->assertFailoverHappened(),
            'never did: before INSERT INTO nowhere, after COMMIT',
            'what was sent:',
            'pg1, connection 1, done: INSERT INTO entry VALUES (1)',
        );
        $cluster->disarm();
        $this->assertFailoverHappened();
        $this->tearDownFailover();
        self::assertFalse($cluster->isRunning());
    }

    public function testAFailoverThatCouldNotHappenIsToldAtTheEndAndTheClusterEnds(): void
    {
        $cluster = $this->inFront();
        $cluster->stopMember('pg2');
        $cluster->stopMember('pg3');
        $cluster->before('INSERT')->switchover();
        (new Connection('app', 'app'))->run(static fn(\PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));

        self::assertStringContainsString('no replica that could lead', self::thrown(fn() => $this->assertFailoverHappened())->getMessage());
        $this->tearDownFailover();
        self::assertFalse($cluster->isRunning());
    }

    public function testOnlyATestThatHasPassedSoFarHearsOfWhatNeverHappened(): void
    {
        $directory = new Directory();
        $file = $directory->write('EndsTest.php', <<<'PHP'
            <?php
            final class EndsTest extends PHPUnit\Framework\TestCase
            {
                use HaDsn\Testing\InteractsWithFailover;
                private HaDsn\Testing\FakeCluster $cluster;
                protected function setUp(): void
                {
                    $this->cluster = $this->fakeCluster();
                    $this->cluster->before('INSERT')->crash();
                }
                public function testPassed(): void { self::assertTrue(true); }
                public function testFailed(): void { self::fail('my own failure'); }
                public function testErred(): void { throw new RuntimeException('my own error'); }
                public function testSkipped(): void { self::markTestSkipped(); }
                public function testHasNoAssertions(): void { $this->cluster->disarm(); }
            }
            PHP);

        $outcome = (new Process(
            [...Php::command(), '/usr/bin/phpunit', '--no-configuration', '--bootstrap', dirname(__DIR__) . '/Connection/autoload.php', '--do-not-cache-result', $file],
        ))->wait(60.0);

        self::assertMatchesRegularExpression('/Tests: 5, Assertions: \d+, Errors: 1, Failures: 2, (PHPUnit Notices: \d+, )?Skipped: 1, Risky: 1\./', $outcome->stdout . $outcome->stderr);
        self::assertSame(1, substr_count($outcome->stdout, 'never did'));
        self::assertSame(0, substr_count($outcome->stdout, 'deprecat'));
    }

    public function testAfterTheTestTheEnvironmentsClusterIsThereAgain(): void
    {
        putenv('HADSN_URL=patroni://127.0.0.1:1/app?ttl=9s');
        try {
            $this->fakeCluster();
            $this->tearDownFailover();
            self::assertStringContainsString('127.0.0.1:1/', HaDsn::status()['clusters']['default']['source'] ?? '');
        } finally {
            putenv('HADSN_URL');
        }
    }

    public function testThereIsOneClusterAndItHasToBeStarted(): void
    {
        self::assertStringContainsString('fakeCluster()', self::thrown(fn() => $this->assertWriterIs('pg1'))->getMessage());
        $this->fakeCluster();
        self::assertStringContainsString('one fake cluster', self::thrown(fn() => $this->fakeCluster())->getMessage());
    }

    private function inFront(): \HaDsn\Testing\FakeCluster
    {
        return $this->fakeClusterInFrontOf(Postgres::HOST, self::server()->port, 'app');
    }

    private static function assertFails(callable $assertion, string ...$texts): void
    {
        $thrown = self::thrown($assertion);
        self::assertInstanceOf(AssertionFailedError::class, $thrown);
        foreach ($texts as $text) {
            self::assertStringContainsString($text, $thrown->getMessage());
        }
    }
}
