<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * Visitors of a site: some requests are under way at any time, each with a number of its own, and what was answered is kept.
 */
final class Visitors
{
    public const AT_ONCE = 4;

    /** Seconds from one request to the next: the machine has a cluster to run besides. */
    private const PAUSE = 0.01;

    /** @var array<int, Reply> by number */
    public array $replies = [];

    private readonly \CurlMultiHandle $multi;

    /** @var array<int, array{int, Request}> number and request of those under way, by their handles' ids */
    private array $underWay = [];

    private int $number = 0;
    private float $next = 0.0;

    /** @param \Closure(int): Request $request the request of a number, which begin at 1 */
    public function __construct(private readonly \Closure $request)
    {
        $this->multi = curl_multi_init();
    }

    /** Keeps them coming until a condition holds; fails when it does not in time (seconds). */
    public function until(callable $condition, string $what, float $timeout): void
    {
        $deadline = microtime(true) + $timeout;
        do {
            if (microtime(true) > $deadline) {
                $last = array_slice($this->replies, -5);
                throw new \RuntimeException("$what: not within $timeout s; the last answers:\n" . implode("\n", $last));
            }
            $this->send();
            $this->receive();
        } while (!$condition());
    }

    /** Waits for the answers to those that are under way. */
    public function finish(): void
    {
        while ($this->underWay !== []) {
            $this->receive();
        }
    }

    /** @return int the number of the next request */
    public function next(): int
    {
        return ++$this->number;
    }

    private function send(): void
    {
        if (count($this->underWay) === self::AT_ONCE || microtime(true) < $this->next) {
            return;
        }
        $number = $this->next();
        $request = ($this->request)($number);
        curl_multi_add_handle($this->multi, $request->handle);
        $this->underWay[spl_object_id($request->handle)] = [$number, $request];
        $this->next = microtime(true) + self::PAUSE;
    }

    private function receive(): void
    {
        curl_multi_exec($this->multi, $running);
        if (curl_multi_select($this->multi, self::PAUSE) <= 0) {
            usleep(1_000);
        }
        while ($done = curl_multi_info_read($this->multi)) {
            $handle = $done['handle'];
            [$number, $request] = $this->underWay[spl_object_id($handle)];
            $body = $done['result'] === CURLE_OK ? (string) curl_multi_getcontent($handle) : (string) curl_strerror($done['result']);
            $this->replies[$number] = $request->reply($body);
            curl_multi_remove_handle($this->multi, $handle);
            unset($this->underWay[spl_object_id($handle)]);
        }
    }
}
