<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

use HaDsn;
use PHPUnit\Framework\TestCase;

/**
 * A test that needs no cluster: whatever it asks is a {@see FakePatroni}.
 */
abstract class UnitTestCase extends TestCase
{
    /** What every DSN ends in unless the options say otherwise: it bounds a dead peer. */
    protected const TAIL = 'tcp_user_timeout=5000;keepalives_idle=10;keepalives_interval=3;keepalives_count=3';

    /** The longest that anything bounded by a `timeout` of half a second may take on a busy machine, in seconds. */
    protected const SOON = 5.0;

    /** @var list<FakePatroni> */
    private array $fakes = [];

    protected function tearDown(): void
    {
        foreach ($this->fakes as $fake) {
            $fake->stop();
        }
        $this->fakes = [];
    }

    /**
     * Starts a Patroni; it ends with the test.
     *
     * @param string|null $certificate as {@see FakePatroni} takes it
     */
    protected function patroni(Answer $answer, ?string $certificate = null): FakePatroni
    {
        return $this->fakes[] = new FakePatroni($answer, $certificate);
    }

    /**
     * Starts one that describes these members.
     *
     * @param array<string, mixed> ...$members
     */
    protected function cluster(array ...$members): FakePatroni
    {
        return $this->patroni(Answer::members(...$members));
    }

    /**
     * A source URL with these endpoints, in this order.
     *
     * @param FakePatroni|string|list<FakePatroni|string> $endpoints
     */
    protected static function url(FakePatroni|string|array $endpoints, string $options = '', string $database = 'app'): string
    {
        $addresses = array_map(
            static fn(FakePatroni|string $one): string => $one instanceof FakePatroni ? $one->address() : $one,
            is_array($endpoints) ? $endpoints : [$endpoints],
        );

        return 'patroni://' . implode(',', $addresses) . "/$database" . ($options === '' ? '' : "?$options");
    }

    /**
     * Makes them the default cluster.
     *
     * @param FakePatroni|string|list<FakePatroni|string> $endpoints
     */
    protected static function configure(FakePatroni|string|array $endpoints, string $options = ''): void
    {
        HaDsn::configure(self::url($endpoints, $options));
    }

    /** An address of this machine on which nobody listens. */
    protected static function deadAddress(): string
    {
        return Loopback::free();
    }

    /** What a call throws. */
    protected static function thrown(callable $call): \Throwable
    {
        try {
            $result = $call();
        } catch (\Throwable $thrown) {
            return $thrown;
        }
        self::fail('nothing was thrown; the result is ' . var_export($result, true));
    }

    /**
     * Asserts that a call throws an exception of hadsn's whose message holds all of these texts.
     *
     * @param class-string<\Throwable> $class
     */
    protected static function assertThrows(string $class, callable $call, string ...$texts): \Throwable
    {
        $thrown = self::thrown($call);
        self::assertInstanceOf($class, $thrown, "{$thrown->getMessage()}\n{$thrown->getTraceAsString()}");
        foreach ($texts as $text) {
            self::assertStringContainsString($text, $thrown->getMessage());
        }

        return $thrown;
    }

    /** How long a call took, in seconds. */
    protected static function seconds(callable $call): float
    {
        $start = hrtime(true);
        $call();

        return (hrtime(true) - $start) / 1e9;
    }

    /** Waits until a condition holds; fails when it does not in time (seconds). */
    protected static function await(callable $condition, string $what, float $timeout = 20.0): void
    {
        $deadline = microtime(true) + $timeout;
        while (!$condition()) {
            if (microtime(true) > $deadline) {
                self::fail("$what: not within $timeout s");
            }
            usleep(5_000);
        }
    }

    /** The host that a DSN or a conninfo string leads to. */
    protected static function host(string $text): string
    {
        return (str_starts_with($text, 'pgsql:') ? Libpq::parsePdo($text) : Libpq::parse($text))['host'];
    }
}
