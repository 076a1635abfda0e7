<?php

declare(strict_types=1);

namespace HaDsn\Testing;

use HaDsn;
use HaDsn\CommitUnknownException;
use HaDsn\Laravel\Clusters;
use HaDsn\NoLeaderException;
use HaDsn\NoReplicaException;
use HaDsn\Phase;
use HaDsn\Verdict;
use PHPUnit\Framework\Assert;

/**
 * For test cases of PHPUnit 9 to 12 and of Pest: starts a {@see FakeCluster}, makes hadsn use it, ends it with the test, and asserts what
 * the application made of a failover.
 *
 *     final class PurchaseTest extends TestCase
 *     {
 *         use InteractsWithFailover;
 *
 *         public function testAPurchaseSurvivesASwitchover(): void
 *         {
 *             $cluster = $this->fakeClusterInFrontOf('127.0.0.1', 5432, 'shop_test');
 *             $cluster->before('INSERT INTO purchase')->switchover();
 *
 *             $this->shop->buy('book');
 *
 *             $this->assertRetried('INSERT INTO purchase');
 *             $this->assertWriterMoved('pg2');
 *         }
 *     }
 *
 * A test whose {@see FakeCluster::before()} or {@see FakeCluster::after()} never happened fails at its end.
 */
trait InteractsWithFailover
{
    private ?FakeCluster $failoverCluster = null;
    private string $failoverName = 'default';
    private ?string $failoverLeader = null;

    /**
     * Starts a cluster without a database and makes it hadsn's cluster `$name`.
     *
     * @param array<FakeMember>     $members the first one leads; pg1, pg2 and pg3 without any
     * @param array<string, string> $options of the source string, in addition to a `failover_timeout` of two seconds
     */
    protected function fakeCluster(array $members = [], array $options = [], string $name = 'default'): FakeCluster
    {
        return $this->useFakeCluster(FakeCluster::start(...array_values($members)), 'app', $options, $name);
    }

    /**
     * Starts a cluster in front of a PostgreSQL server and makes it hadsn's cluster `$name`.
     *
     * @param array<FakeMember>     $members  the first one leads; pg1, pg2 and pg3 without any
     * @param array<string, string> $options  of the source string, in addition to a `failover_timeout` of two seconds
     */
    protected function fakeClusterInFrontOf(string $host, int $port, string $database, array $members = [], array $options = [], string $name = 'default'): FakeCluster
    {
        return $this->useFakeCluster(FakeCluster::inFrontOf($host, $port, ...array_values($members)), $database, $options, $name);
    }

    /** hadsn would write to this member now. It is asked to look anew. */
    protected function assertWriterIs(string $member, string $message = ''): void
    {
        Assert::assertSame($member, $this->failoverWriter(), $message === '' ? 'the member that hadsn writes to' : $message);
    }

    /**
     * hadsn writes to another member than at the beginning.
     *
     * @param string|null $to to this one
     */
    protected function assertWriterMoved(?string $to = null, string $message = ''): void
    {
        $writer = $this->failoverWriter();
        Assert::assertNotSame($this->failoverLeader, $writer, $message === '' ? 'the member that hadsn writes to: it is the one that led at the beginning' : $message);
        if ($to !== null) {
            Assert::assertSame($to, $writer, $message === '' ? 'the member that hadsn writes to' : $message);
        }
    }

    /** hadsn writes to the member that led at the beginning. */
    protected function assertWriterStayed(string $message = ''): void
    {
        Assert::assertSame($this->failoverLeader, $this->failoverWriter(), $message === '' ? 'the member that hadsn writes to' : $message);
    }

    /** hadsn would read from these members, and from no other. */
    protected function assertReadersAre(string ...$members): void
    {
        $this->lookAnew();
        $found = [];
        // So often that chance (`reader=random`) leaves none out.
        for ($i = 0; $i < 50 * max(1, count($members)); ++$i) {
            try {
                $found[$this->failoverMember(HaDsn::reader($this->failoverName))] = true;
            } catch (NoReplicaException) {
                break;
            }
        }
        $found = array_map(strval(...), array_keys($found));
        sort($found);
        sort($members);
        Assert::assertSame($members, $found, 'the members that hadsn reads from');
    }

    /** A connection leads to this member. */
    protected function assertConnectedTo(string $member, \PDO $pdo, string $message = ''): void
    {
        Assert::assertSame($member, $this->failoverCluster()->memberOf($pdo), $message === '' ? 'the member that the connection leads to' : $message);
    }

    /**
     * The application has sent a statement again, after a failover had ended the first attempt. Needs a cluster in front of a server.
     *
     * @param string   $statement the text that it begins with, or a regular expression, as in {@see FakeCluster::before()}
     * @param int|null $times     how often it was sent again; null: at least once
     */
    protected function assertRetried(string $statement, ?int $times = null): void
    {
        $sent = $this->failoverCluster()->statements($statement);
        Assert::assertNotSame([], $sent, $this->failoverStory("$statement: was never sent"));
        $again = count($sent) - 1;
        $times === null
            ? Assert::assertGreaterThan(0, $again, $this->failoverStory("$statement: was sent once, and not again"))
            : Assert::assertSame($times, $again, $this->failoverStory("$statement: how often it was sent again"));
    }

    /** The application has sent a statement once, and not again. Needs a cluster in front of a server. */
    protected function assertNotRetried(string $statement): void
    {
        Assert::assertCount(1, $this->failoverCluster()->statements($statement), $this->failoverStory("$statement: how often it was sent"));
    }

    /** The server has done a statement exactly so often, whether the application knows or not. Needs a cluster in front of a server. */
    protected function assertDone(int $times, string $statement): void
    {
        $done = array_filter(
            $this->failoverCluster()->statements($statement),
            static fn(Statement $one): bool => in_array($one->fate, [Fate::Done, Fate::Unanswered], true),
        );
        Assert::assertCount($times, $done, $this->failoverStory("$statement: how often the server has done it"));
    }

    /**
     * The work says that it can't know whether it was done: it throws a CommitUnknownException, or what {@see HaDsn::verdict()} calls
     * in doubt. Returns what it throws.
     */
    protected function assertInDoubt(callable $work, Phase $phase = Phase::Commit): \Throwable
    {
        $error = self::failoverError($work, 'in doubt');
        for ($link = $error; $link !== null; $link = $link->getPrevious()) {
            if ($link instanceof CommitUnknownException) {
                Assert::assertInstanceOf(CommitUnknownException::class, $link);

                return $error;
            }
        }
        self::assertVerdict(Verdict::InDoubt, $error, $phase);

        return $error;
    }

    /** The work ends because nobody leads: a NoLeaderException, itself or as a previous one. Returns what it throws. */
    protected function assertNoLeader(callable $work): \Throwable
    {
        $error = self::failoverError($work, 'no leader');
        $links = [];
        for ($link = $error; $link !== null; $link = $link->getPrevious()) {
            $links[] = $link::class;
        }
        Assert::assertContains(NoLeaderException::class, $links, $error->getMessage());

        return $error;
    }

    /** What {@see HaDsn::verdict()} says of an error. */
    protected static function assertVerdict(Verdict $expected, \Throwable $error, Phase $phase = Phase::Unknown): void
    {
        Assert::assertSame($expected, HaDsn::verdict($error, $phase), $error->getMessage());
    }

    /**
     * Only after a test that has passed so far: who has failed or was skipped on the way need not hear this too.
     *
     * @postCondition
     *
     * @internal
     */
    #[\PHPUnit\Framework\Attributes\PostCondition]
    protected function assertFailoverHappened(): void
    {
        $armed = $this->failoverCluster?->armed() ?? [];
        if ($armed !== []) {
            Assert::fail($this->failoverStory('what was to happen at a statement never did: ' . implode(', ', $armed)));
        }
    }

    /**
     * Ends the cluster with the test.
     *
     * @after
     *
     * @internal
     */
    #[\PHPUnit\Framework\Attributes\After]
    protected function tearDownFailover(): void
    {
        $cluster = $this->failoverCluster;
        if ($cluster !== null) {
            $this->failoverCluster = null;
            $cluster->stop();
            Clusters::restore($this->failoverName);
            self::configureFailoverAgain($this->failoverName);
        }
    }

    /** @param array<string, string> $options */
    private function useFakeCluster(FakeCluster $cluster, string $database, array $options, string $name): FakeCluster
    {
        if ($this->failoverCluster !== null) {
            throw new \LogicException('a test has one fake cluster by this trait; start others with FakeCluster and HaDsn::configure()');
        }
        HaDsn::configure($cluster->sources($database, $options + ['failover_timeout' => '2s']), $name);
        // Laravel would configure what its .env names, and the test write there.
        Clusters::replace($name);
        $this->failoverName = $name;
        $this->failoverLeader = $cluster->leader();

        return $this->failoverCluster = $cluster;
    }

    private function failoverCluster(): FakeCluster
    {
        return $this->failoverCluster ?? throw new \LogicException('there is no fake cluster: call fakeCluster() or fakeClusterInFrontOf() first');
    }

    private function failoverWriter(): string
    {
        $this->lookAnew();

        return $this->failoverMember(HaDsn::writer($this->failoverName));
    }

    /** Has hadsn ask the cluster, which it does a few times a second at most. */
    private function lookAnew(): void
    {
        $this->failoverCluster();
        HaDsn::invalidate($this->failoverName);
        $deadline = microtime(true) + 1.0;
        do {
            HaDsn::topology($this->failoverName);
            $isDone = HaDsn::status()['clusters'][$this->failoverName]['state'] !== 'suspect';
            usleep($isDone ? 0 : 10_000);
        } while (!$isDone && microtime(true) < $deadline);
    }

    /** The member that a DSN leads to. */
    private function failoverMember(string $dsn): string
    {
        preg_match('/^pgsql:host=([^;]+);(?:.*?;)?port=(\d+)/', $dsn, $found);
        foreach (HaDsn::topology($this->failoverName)->members as $member) {
            if ($found !== [] && $member->host === $found[1] && $member->port === (int) $found[2]) {
                return $member->name;
            }
        }

        return $dsn;
    }

    /** A message, and what the application has sent, which is what one wants to know then. */
    private function failoverStory(string $message): string
    {
        $lines = [];
        foreach ($this->failoverCluster()->statements() as $one) {
            $lines[] = "  $one->member, connection $one->connection, {$one->fate->value}: " . preg_replace('/\s+/', ' ', substr($one->sql, 0, 200));
        }
        $last = array_slice($lines, -20);
        $which = count($last) === count($lines) ? 'what was sent' : 'the last of ' . count($lines) . ' statements';

        return "$message\n" . ($lines === [] ? 'nothing was sent' : "$which:\n" . implode("\n", $last));
    }

    private static function failoverError(callable $work, string $expected): \Throwable
    {
        try {
            $work();
        } catch (\Throwable $error) {
            return $error;
        }
        Assert::fail("$expected: the work has ended well");
    }

    /** What HaDsn::configure() has said lasts until the process ends: back to what the environment or php.ini say. */
    private static function configureFailoverAgain(string $name): void
    {
        $suffix = $name === 'default' ? '' : '_' . strtoupper($name);
        $file = getenv("HADSN_URL{$suffix}_FILE");
        $sources = getenv("HADSN_URL$suffix");
        if ($sources === false && $file !== false) {
            $sources = file_get_contents($file);
        }
        if ($sources === false) {
            $sources = ini_get($name === 'default' ? 'hadsn.url' : "hadsn.url.$name");
        }
        if ($sources !== false && trim($sources) !== '') {
            HaDsn::configure(trim($sources), $name);
        }
    }
}
