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
    private const PATIENCE = 20.0;

    /** @var resource|null */
    private mixed $process;

    /** @var resource */
    private mixed $input;

    /** @var resource */
    private mixed $output;

    /** @var resource */
    private mixed $errors;

    /** A child that was forked must leave it alone. */
    private readonly int $owner;

    /** @param array<string, mixed> $order what it is to be */
    public function __construct(array $order)
    {
        $this->errors = self::temporary();
        $this->owner = (int) getmypid();
        $php = PHP_BINARY === '' ? 'php' : PHP_BINARY;
        $command = [$php, '-n', '-d', 'display_errors=stderr', __DIR__ . '/Server/serve.php', json_encode($order, JSON_THROW_ON_ERROR)];
        $process = proc_open($command, [['pipe', 'r'], ['pipe', 'w'], $this->errors], $pipes);
        if ($process === false) {
            throw new \RuntimeException("FakeCluster: $php can't be started");
        }
        $this->process = $process;
        [$this->input, $this->output] = $pipes;
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
        if ($this->process === null) {
            throw new \LogicException('FakeCluster: it was stopped');
        }
        fwrite($this->input, json_encode($order, JSON_THROW_ON_ERROR) . "\n");
        $answer = $this->hear();
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
        $deadline = microtime(true) + self::PATIENCE;
        do {
            [$read, $none] = [[$this->output], null];
            // A signal may end the wait before time.
            $ready = stream_select($read, $none, $none, 0, 100_000);
            if ($ready === 1) {
                $line = fgets($this->output);
                if ($line === false) {
                    break;
                }

                return json_decode($line, true, 32, JSON_THROW_ON_ERROR);
            }
        } while (microtime(true) < $deadline);
        rewind($this->errors);
        throw new \RuntimeException('FakeCluster: its process has failed: ' . trim((string) stream_get_contents($this->errors)));
    }

    public function stop(): void
    {
        if ($this->process === null) {
            return;
        }
        // It has nothing to tidy up. 9 is SIGKILL, whose name only the extension pcntl knows.
        proc_terminate($this->process, 9);
        fclose($this->input);
        fclose($this->output);
        fclose($this->errors);
        proc_close($this->process);
        $this->process = null;
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
