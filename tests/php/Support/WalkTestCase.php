<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * An application, made as its page in docs/ says, serves visitors behind PHP-FPM while the leadership is handed over and while the leader's machine
 * dies. Every request writes the rows of a number, and is told whether they are written. The tests look at what came of it.
 */
abstract class WalkTestCase extends LabTestCase
{
    /** A crash of the leader loses nothing that a replica has acknowledged. */
    protected const SYNCHRONOUS = true;

    /** What an application may say of a number. */
    protected const WRITTEN = 'written';
    protected const NOT_WRITTEN = 'not written';
    protected const UNKNOWN = 'unknown';

    /** That something has failed, and not whether that is a commit in doubt. */
    protected const FAILED = 'failed';

    protected static FpmSite $site;
    protected static Visitors $visitors;

    /** @var array<string, array{string, string}> the leader before and after, by what was done */
    protected static array $leaders;

    /** @var array<int, int> how many rows there are in the end, by number */
    private static array $rows;

    /** Makes the application. */
    abstract protected static function build(): FpmSite;

    /** The request that writes a number. */
    abstract protected static function request(int $number): Request;

    /** What an answer says of its number: one of the four constants, or null if it says nothing that makes sense. */
    abstract protected static function outcome(int $number, Reply $reply): ?string;

    /**
     * The rows that are there.
     *
     * @return array<int, int> how many, by number
     */
    abstract protected static function rows(): array;

    /** How many rows a number has when it is written. */
    protected static function whole(int $number): int
    {
        return 1;
    }

    /** Before the leader changes, */
    protected static function before(string $change): void {}

    /** when it has gone (after a crash nobody leads for a while), */
    protected static function during(string $change): void {}

    /** and when visitors are served by a new one. */
    protected static function after(string $change): void {}

    /** When no more visitors come: what else the application has to do before one looks at what is there. */
    protected static function finish(): void {}

    public static function setUpBeforeClass(): void
    {
        parent::setUpBeforeClass();
        self::$leaders = [];
        self::$site = static::build();
        self::$visitors = new Visitors(static::request(...));
        self::writeOn('the application works', 60.0);
        self::through('switchover', static fn(): Process => Lab::start('switchover'));
        // Only one that is known to have all commits may follow a leader that has crashed.
        self::await(static fn(): bool => in_array('sync_standby', array_column(Lab::status()['nodes'], 'role'), true), 'a synchronous standby', 90.0);
        self::through('kill', static fn(string $old): Process => Lab::start('kill', $old));
        self::$visitors->finish();
        static::finish();
        self::$rows = static::rows();
    }

    public static function tearDownAfterClass(): void
    {
        self::$site->stop();
        Lab::run('start', self::$leaders['kill'][0], '--wait');
    }

    public function testItGoesOnAtTheNewLeaders(): void
    {
        foreach (self::$leaders as $change => [$old, $new]) {
            self::assertNotSame($old, $new, $change);
        }
        self::assertGreaterThanOrEqual(150, count(self::numbers(self::WRITTEN)));
    }

    public function testNothingThatWasReportedAsWrittenIsLostOrWrittenTwice(): void
    {
        $numbers = self::numbers(self::WRITTEN);
        $expected = array_combine($numbers, array_map(static::whole(...), $numbers));

        self::assertSame([], array_diff_assoc($expected, self::$rows));
    }

    public function testNothingIsWrittenThatWasReportedAsNotWritten(): void
    {
        self::assertSame([], array_intersect(self::numbers(self::NOT_WRITTEN), array_keys(self::$rows)));
    }

    public function testWhatIsUnknownIsThereAsAWholeOrNotAtAll(): void
    {
        $half = array_filter(
            [...self::numbers(self::UNKNOWN), ...self::numbers(self::FAILED)],
            static fn(int $number): bool => !in_array(self::$rows[$number] ?? 0, [0, static::whole($number)], true),
        );

        self::assertSame([], $half);
    }

    /** A visitor is told that it is unknown only when his request was under way in the moment itself. */
    public function testNoMoreIsUnknownThanWasUnderWay(): void
    {
        self::assertLessThanOrEqual(count(self::$leaders) * Visitors::AT_ONCE, count(self::numbers(self::UNKNOWN)), self::$site->log());
    }

    public function testNoAnswerIsWithoutSense(): void
    {
        $senseless = array_intersect_key(self::$visitors->replies, array_flip(self::numbers(null)));

        self::assertSame([], array_map('strval', $senseless), self::$site->log());
    }

    /** A connection to the leader. */
    protected static function app(): \PDO
    {
        \HaDsn::configure(Lab::URL);
        \HaDsn::invalidate();

        return Lab::connect(\HaDsn::writer());
    }

    /** @return list<int> */
    protected static function column(string $query): array
    {
        return self::app()->query($query)->fetchAll(\PDO::FETCH_COLUMN);
    }

    /** Lets visitors come until some more are served. */
    private static function writeOn(string $what, float $timeout): void
    {
        $goal = count(self::numbers(self::WRITTEN)) + 50;
        self::$visitors->until(static fn(): bool => count(self::numbers(self::WRITTEN)) >= $goal, $what, $timeout);
    }

    /** Lets visitors come while the leader changes, until they are served by the new one. */
    private static function through(string $change, callable $start): void
    {
        $old = Lab::leader();
        static::before($change);
        $process = $start($old);
        self::$visitors->until(static fn(): bool => !$process->isRunning(), $change, 90.0);
        self::assertSame(0, $process->wait(60.0)->exitCode);
        static::during($change);
        self::writeOn("the application works after $change", 90.0);
        self::$leaders[$change] = [$old, Lab::leader()];
        static::after($change);
    }

    /** @return list<int> the numbers with this outcome */
    private static function numbers(?string $outcome): array
    {
        $has = static fn(Reply $reply, int $number): bool => static::outcome($number, $reply) === $outcome;

        return array_keys(array_filter(self::$visitors->replies, $has, ARRAY_FILTER_USE_BOTH));
    }
}
