<?php

declare(strict_types=1);

namespace HaDsn\Testing;

/**
 * The process that plays a {@see FakeCluster}: the test itself is busy asking it. It ends with this object, and with the test's
 * process, however that ends.
 *
 * @internal
 */
final class Background
{
    /** How long it may take to start or to answer, in seconds. */
    private const PATIENCE = 20;

    /** @var resource|null */
    private mixed $process;

    /** @var resource its standard input and output; a socket's deadline holds through signals, and silently */
    private mixed $socket;

    /** @var resource */
    private mixed $errors;

    /** A child that was forked must leave it alone. */
    private readonly int $owner;
    private int $asked = 0;

    /** @param array<string, mixed> $order what it is to be */
    public function __construct(array $order)
    {
        $this->errors = self::temporary();
        $this->owner = (int) getmypid();
        $php = PHP_BINARY === '' ? 'php' : PHP_BINARY;
        $command = [$php, '-n', '-d', 'display_errors=stderr', '-d', 'memory_limit=-1', __DIR__ . '/Server/serve.php'];
        $pipes = [];
        $process = proc_open($command, [['socket'], ['redirect', 0], $this->errors], $pipes);
        if ($process === false) {
            throw new \RuntimeException("FakeCluster: $php can't be started");
        }
        $this->process = $process;
        $this->socket = $pipes[0];
        stream_set_timeout($this->socket, self::PATIENCE);
        $this->tell($order);
    }

    public function __destruct()
    {
        if ((int) getmypid() === $this->owner) {
            $this->stop();
        }
    }

    public function isRunning(): bool
    {
        return $this->process !== null;
    }

    /**
     * Has it do something, and waits until it is done.
     *
     * @param array<string, mixed> $order
     */
    public function ask(array $order): mixed
    {
        $number = ++$this->asked;
        $this->tell(['number' => $number] + $order);
        do {
            // An exception of a signal handler may have left an earlier answer there.
            $answer = $this->hear();
        } while ($answer['number'] !== $number);
        if (isset($answer['mistake'])) {
            throw new \LogicException("FakeCluster: {$answer['mistake']}");
        }

        return $answer['result'] ?? null;
    }

    /**
     * What it says next.
     *
     * @return array<string, mixed>
     */
    public function hear(): array
    {
        $line = fgets($this->socket);
        if ($line === false || !str_ends_with($line, "\n")) {
            throw $this->failure();
        }

        /** @var array<string, mixed> */
        return json_decode($line, true, 32, JSON_THROW_ON_ERROR);
    }

    public function stop(): void
    {
        if ($this->process === null) {
            return;
        }
        // It has nothing to tidy up. 9 is SIGKILL, whose name only the extension pcntl knows.
        proc_terminate($this->process, 9);
        fclose($this->socket);
        fclose($this->errors);
        proc_close($this->process);
        $this->process = null;
    }

    /** @param array<string, mixed> $order */
    private function tell(array $order): void
    {
        if ($this->process === null) {
            throw new \LogicException('FakeCluster: it was stopped');
        }
        if (!proc_get_status($this->process)['running']) {
            throw $this->failure();
        }
        fwrite($this->socket, json_encode($order, JSON_THROW_ON_ERROR) . "\n");
    }

    private function failure(): \RuntimeException
    {
        rewind($this->errors);
        $said = trim((string) stream_get_contents($this->errors));

        return new \RuntimeException('FakeCluster: its process ' . (stream_get_meta_data($this->socket)['timed_out'] ? 'has not answered' : 'has ended') . ($said === '' ? '' : ": $said"));
    }

    /** @return resource */
    private static function temporary(): mixed
    {
        $file = tmpfile();
        if ($file === false) {
            throw new \RuntimeException('FakeCluster: no temporary file can be made');
        }
        // Nothing is left of it, even if this process is killed.
        unlink(stream_get_meta_data($file)['uri']);

        return $file;
    }
}
