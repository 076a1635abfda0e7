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
    private readonly bool $isUtf8;
    private bool $hasColors;
    private bool $isProgressShown = false;

    /** @var array{int, int}|null columns and rows, while they are known */
    private ?array $size = null;
    private int $sizeAt = 0;

    /**
     * @param resource $output
     * @param resource $errors
     */
    public function __construct(private readonly mixed $output, private readonly mixed $errors)
    {
        $isDumb = in_array((string) getenv('TERM'), ['', 'dumb'], true);
        $this->isTerminal = stream_isatty($output) && !$isDumb;
        $this->showsProgress = stream_isatty($errors) && !$isDumb;
        $this->hasColors = $this->isTerminal && (string) getenv('NO_COLOR') === '';
        // The first that is set names the character set (locale(7)).
        $locale = getenv('LC_ALL') ?: getenv('LC_CTYPE') ?: (string) getenv('LANG');
        $this->isUtf8 = preg_match('/utf-?8/i', $locale) === 1;
    }

    public function withoutColors(): void
    {
        $this->hasColors = false;
    }

    /** For somebody who reads. */
    public function write(string $text): void
    {
        $this->writeData($this->isUtf8 ? $text : Text::ascii($text));
    }

    /** For a program: byte by byte. */
    public function writeData(string $data): void
    {
        $this->clearProgress();
        self::put($this->output, $data);
    }

    /** A message for standard error. */
    public function complain(string $text): void
    {
        $this->clearProgress();
        self::put($this->errors, 'hadsn: ' . ($this->isUtf8 ? $text : Text::ascii($text)) . "\n");
    }

    /** Says what is going on, on a terminal only, until something is written. */
    public function progress(string $text): void
    {
        if ($this->showsProgress) {
            $text = Text::cut($text, $this->columns() - 1);
            self::put($this->errors, "\r\x1b[K" . ($this->isUtf8 ? $text : Text::ascii($text)));
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

    /** The size may be another one from now on. */
    public function isResized(): void
    {
        $this->size = null;
    }

    /**
     * The terminal's width and height. PHP itself can't ask for it.
     *
     * @return array{int, int}
     */
    private function size(): array
    {
        $now = (int) hrtime(true);
        if ($this->size !== null && $now - $this->sizeAt < 2_000_000_000) {
            return $this->size;
        }
        $this->sizeAt = $now;
        $size = [(int) getenv('COLUMNS'), (int) getenv('LINES')];
        if ($this->isTerminal && function_exists('proc_open')) {
            $pipes = [];
            $child = proc_open(['/usr/bin/env', 'stty', 'size'], [$this->output, ['pipe', 'w'], ['file', '/dev/null', 'w']], $pipes);
            if (is_resource($child)) {
                $text = (string) stream_get_contents($pipes[1]);
                proc_close($child);
                if (preg_match('/^(\d+) (\d+)/', $text, $found) === 1) {
                    $size = [(int) $found[2], (int) $found[1]];
                }
            }
        }

        return $this->size = [max(10, $size[0] ?: 80), max(5, $size[1] ?: 24)];
    }

    /** @param resource $stream */
    private static function put(mixed $stream, string $text): void
    {
        while ($text !== '') {
            [$written, $reason] = Warnings::collect(static fn(): int|false => fwrite($stream, $text));
            if ($written === false) {
                // 32 is EPIPE: nobody reads any more, which is no mishap.
                throw str_contains($reason, 'errno=32 ') ? Failure::brokenPipe() : Failure::unwell('the result can\'t be written: ' . Warnings::reason($reason));
            }
            $text = substr($text, $written);
            if ($text !== '' && $written === 0) {
                // Somebody has made it non-blocking, and it is full.
                [$none, $write] = [null, [$stream]];
                Warnings::collect(static fn(): int|false => stream_select($none, $write, $none, 1));
                Interrupt::check();
            }
        }
    }
}
