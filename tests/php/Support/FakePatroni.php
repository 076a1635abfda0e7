<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * An HTTP server on a port of its own that answers as Patroni would, or as badly as nobody should. It runs in a process
 * of its own, since the caller is busy asking it.
 */
final class FakePatroni
{
    /** @var array<int, true> ports that were used: a source string must not come twice, its answers are remembered */
    private static array $used = [];

    private readonly Directory $directory;
    private readonly Process $process;
    private readonly int $port;
    private int $version = 0;

    /** @param string|null $certificate a file NAME.pem, with its key in NAME.key, to speak HTTPS with */
    public function __construct(Answer $answer, ?string $certificate = null)
    {
        $this->directory = new Directory();
        $this->answers($answer);
        $refused = [];
        do {
            $arguments = [$this->directory->path, ...($certificate === null ? [] : [$certificate])];
            $process = new Process([PHP_BINARY, '-n', __DIR__ . '/fake-patroni.php', ...$arguments]);
            $port = (int) $process->waitFor('~:(\d+)\n~', 20.0)[1];
            // Held open until there is another one, so that the system can't give out the same port again.
            $refused[] = $process;
        } while (isset(self::$used[$port]));
        self::$used[$port] = true;
        array_pop($refused);
        $this->process = $process;
        $this->port = $port;
    }

    public function __destruct()
    {
        $this->stop();
    }

    /** `127.0.0.1:port`, as it stands in a source URL. */
    public function address(string $host = '127.0.0.1'): string
    {
        return "$host:$this->port";
    }

    /** From the next request on it answers like this. */
    public function answers(Answer $answer): void
    {
        $this->answersInTurn($answer);
    }

    /** The next requests are answered one by one; the last answer stays. */
    public function answersInTurn(Answer ...$answers): void
    {
        $turns = array_map(static fn(Answer $answer): array => $answer->toArray(), array_values($answers));
        // A file is never seen half written.
        $file = $this->directory->write('next', serialize(['version' => ++$this->version, 'turns' => $turns]));
        rename($file, "{$this->directory->path}/answers");
    }

    /**
     * What it was asked so far; a connection that it slammed has no method.
     *
     * @return list<array{at: float, method: string, target: string, headers: array<string, string>}>
     */
    public function requests(): array
    {
        return JsonLines::read("{$this->directory->path}/log");
    }

    /** How often it was asked. */
    public function count(): int
    {
        return count($this->requests());
    }

    /** From now on nobody listens there. */
    public function stop(): void
    {
        $this->process->stop();
    }
}
