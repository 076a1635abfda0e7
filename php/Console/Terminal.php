<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * Where a command writes: results to standard output, messages and progress to standard error.
 *
 * @internal
 */
final class Terminal
{
    public readonly bool $isTerminal;
    private readonly bool $showsProgress;
    private bool $hasColors;
    private bool $isProgressShown = false;

    /**
     * @param resource $output
     * @param resource $errors
     */
    public function __construct(private readonly mixed $output, private readonly mixed $errors)
    {
        $isDumb = getenv('TERM') === 'dumb';
        $this->isTerminal = stream_isatty($output) && !$isDumb;
        $this->showsProgress = stream_isatty($errors) && !$isDumb;
        $this->hasColors = $this->isTerminal && (string) getenv('NO_COLOR') === '';
    }

    public function withoutColors(): void
    {
        $this->hasColors = false;
    }

    public function write(string $text): void
    {
        $this->clearProgress();
        self::put($this->output, $text);
    }

    /** A message for standard error. */
    public function complain(string $text): void
    {
        $this->clearProgress();
        self::put($this->errors, "hadsn: $text\n");
    }

    /** Says what is going on, on a terminal only, until something is written. */
    public function progress(string $text): void
    {
        if ($this->showsProgress) {
            self::put($this->errors, "\r\x1b[K" . Text::cut($text, $this->columns() - 1));
            $this->isProgressShown = true;
        }
    }

    public function clearProgress(): void
    {
        if ($this->isProgressShown) {
            self::put($this->errors, "\r\x1b[K");
            $this->isProgressShown = false;
        }
    }

    public function colored(string $text, Color $color): string
    {
        return $this->hasColors ? "\x1b[{$color->value}m$text\x1b[0m" : $text;
    }

    public function columns(): int
    {
        return $this->size()[0];
    }

    public function rows(): int
    {
        return $this->size()[1];
    }

    /**
     * The terminal's width and height. PHP itself can't ask for it.
     *
     * @return array{int, int}
     */
    private function size(): array
    {
        static $known = null;
        static $at = 0;
        $now = hrtime(true);
        if ($known !== null && $now - $at < 2_000_000_000) {
            return $known;
        }
        $at = $now;
        $size = [(int) getenv('COLUMNS'), (int) getenv('LINES')];
        if ($this->isTerminal && function_exists('proc_open')) {
            $child = proc_open(['/usr/bin/env', 'stty', 'size'], [$this->output, ['pipe', 'w'], ['file', '/dev/null', 'w']], $pipes);
            if (is_resource($child)) {
                $text = (string) stream_get_contents($pipes[1]);
                proc_close($child);
                if (preg_match('/^(\d+) (\d+)/', $text, $found) === 1) {
                    $size = [(int) $found[2], (int) $found[1]];
                }
            }
        }

        return $known = [max(40, $size[0] ?: 80), max(8, $size[1] ?: 24)];
    }

    /** @param resource $stream */
    private static function put(mixed $stream, string $text): void
    {
        while ($text !== '') {
            [$written] = Warnings::collect(static fn(): int|false => fwrite($stream, $text));
            if (!is_int($written) || $written === 0) {
                throw Failure::brokenPipe();
            }
            $text = substr($text, $written);
        }
    }
}
