<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * A child process, started without a shell. Nothing waits for it longer than it says, and what is still running when
 * the object goes is killed.
 */
final class Process
{
    /** @var resource|null */
    private $handle;

    /** @var array<int, resource> */
    private array $pipes = [];

    /** @var array{1: string, 2: string} */
    private array $output = [1 => '', 2 => ''];

    private ?int $exitCode = null;
    private readonly int $pid;

    /**
     * @param list<string>          $command
     * @param array<string, string> $environment in addition to what a program needs to run at all
     * @param bool                  $isGroup     whether what it starts itself is killed with it
     */
    public function __construct(
        private readonly array $command,
        array $environment = [],
        string $input = '',
        ?string $directory = null,
        private readonly bool $isGroup = false,
    ) {
        $usual = array_intersect_key(getenv(), array_flip(['PATH', 'HOME', 'LANG', 'LC_ALL', 'TMPDIR', 'USER']));
        // proc_open() leaves out what is empty.
        $empty = array_keys($environment, '', true);
        if ($empty !== []) {
            $command = ['/usr/bin/env', ...array_map(static fn(string $name): string => "$name=", $empty), ...$command];
        }
        if ($isGroup) {
            $command = ['/usr/bin/setsid', ...$command];
        }
        $handle = proc_open($command, [['pipe', 'r'], ['pipe', 'w'], ['pipe', 'w']], $this->pipes, $directory, $environment + $usual);
        if (!is_resource($handle)) {
            throw new \RuntimeException("{$command[0]} can't be started");
        }
        $this->handle = $handle;
        $status = proc_get_status($handle);
        $this->pid = $status['pid'];
        $this->look($status);
        if ($input !== '') {
            fwrite($this->pipes[0], $input);
        }
        stream_set_blocking($this->pipes[1], false);
        stream_set_blocking($this->pipes[2], false);
    }

    public function __destruct()
    {
        $this->stop();
    }

    public function pid(): int
    {
        return $this->pid;
    }

    /** Writes to its standard input. */
    public function type(string $text): void
    {
        fwrite($this->pipes[0], $text);
    }

    /** Ends its standard input. */
    public function closeInput(): void
    {
        if (isset($this->pipes[0])) {
            fclose($this->pipes[0]);
            unset($this->pipes[0]);
        }
    }

    /** Waits until it has ended, and kills it when the time (in seconds) is up. */
    public function wait(float $timeout): Outcome
    {
        $this->closeInput();
        $deadline = microtime(true) + $timeout;
        while ($this->isRunning() || $this->pipes !== []) {
            if (microtime(true) > $deadline) {
                $this->stop();
                throw new \RuntimeException(sprintf("%s did not end within %.1f s\n%s%s", $this->name(), $timeout, ...$this->output));
            }
            $this->read(0.02);
        }

        return new Outcome($this->exitCode ?? -1, $this->output[1], $this->output[2]);
    }

    /**
     * Waits for a line on its standard output (1) or standard error (2).
     *
     * @return array<int|string, string> what the pattern matched
     */
    public function waitFor(string $pattern, float $timeout, int $stream = 1): array
    {
        $deadline = microtime(true) + $timeout;
        while (preg_match($pattern, $this->output[$stream], $found) !== 1) {
            if (microtime(true) > $deadline || ($this->pipes === [] && !$this->isRunning())) {
                throw new \RuntimeException(sprintf("%s did not write %s\n%s%s", $this->name(), $pattern, ...$this->output));
            }
            $this->read(0.02);
        }

        return $found;
    }

    public function isRunning(): bool
    {
        if ($this->handle === null) {
            return false;
        }

        return $this->look(proc_get_status($this->handle));
    }

    public function signal(int $signal): void
    {
        posix_kill($this->pid, $signal);
    }

    /** Kills it if it still runs, and gives everything back. */
    public function stop(): void
    {
        if ($this->handle === null) {
            return;
        }
        if ($this->isRunning()) {
            posix_kill($this->isGroup ? -$this->pid : $this->pid, SIGKILL);
        }
        foreach ($this->pipes as $pipe) {
            fclose($pipe);
        }
        $this->pipes = [];
        proc_close($this->handle);
        $this->handle = null;
    }

    /**
     * Whether it runs. Only the first look after its end tells the code.
     *
     * @param array<string, mixed> $status
     */
    private function look(array $status): bool
    {
        if (!$status['running']) {
            $this->exitCode ??= $status['signaled'] ? 128 + $status['termsig'] : $status['exitcode'];
        }

        return $status['running'];
    }

    private function read(float $seconds): void
    {
        $readable = array_diff_key($this->pipes, [0 => true]);
        if ($readable === []) {
            usleep((int) ($seconds * 1e6));

            return;
        }
        $none = null;
        // False when a signal came: then there is nothing to read yet.
        if (stream_select($readable, $none, $none, 0, (int) ($seconds * 1e6)) === false) {
            return;
        }
        foreach ($readable as $number => $pipe) {
            $this->output[$number] .= stream_get_contents($pipe);
            if (feof($pipe)) {
                fclose($pipe);
                unset($this->pipes[$number]);
            }
        }
    }

    private function name(): string
    {
        return implode(' ', array_map(static fn(string $part): string => mb_strimwidth($part, 0, 60, '…'), $this->command));
    }
}
