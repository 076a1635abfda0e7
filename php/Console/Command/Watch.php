<?php

declare(strict_types=1);

namespace HaDsn\Console\Command;

use HaDsn\Console\Arguments;
use HaDsn\Console\Cluster;
use HaDsn\Console\Color;
use HaDsn\Console\Command;
use HaDsn\Console\ExitCode;
use HaDsn\Console\Failure;
use HaDsn\Console\Interrupt;
use HaDsn\Console\Members;
use HaDsn\Console\Option;
use HaDsn\Console\Terminal;
use HaDsn\Console\Text;

/**
 * `hadsn watch`: the members, again and again.
 *
 * @internal
 */
final class Watch implements Command
{
    /** @var list<string> the last picture, and how many lines of it stand on the terminal, of this size */
    private array $lines = [];
    private int $drawn = 0;
    private string $size = '';

    private bool $isResized = false;

    public static function name(): string
    {
        return 'watch';
    }

    public static function summary(): string
    {
        return 'the same, live, until Ctrl-C';
    }

    public static function synopsis(): string
    {
        return 'watch [--interval=DURATION] [--count=N] [--json] [OPTION...]';
    }

    public static function description(): string
    {
        return <<<'TEXT'
            Looks at the cluster again and again, past what is remembered, and shows the table of "hadsn status" in its place on the terminal: no more lines than fit, and no more often than five times a second. While nobody answers it says so and goes on.

            Where standard output is no terminal, each look is written behind the last one; with --json each is one line.

            Every look is a question to Patroni's REST API: keep the interval at a second or more if you leave it running.

            Examples:
            hadsn watch
            hadsn watch --interval=500ms --cluster=orders
            hadsn watch --json | jq --unbuffered -r .leader
            TEXT;
    }

    public static function options(): array
    {
        return [
            Option::value('interval', 'DURATION', 'from one look to the next: 200ms to 60m (default: 2s)'),
            Option::value('count', 'N', 'end after so many looks'),
        ];
    }

    public static function exitCodes(): array
    {
        return [
            ExitCode::DONE => 'ended by Ctrl-C, or after --count looks',
            ExitCode::UNUSABLE => 'wrong usage or configuration, or the extension is not loaded',
        ];
    }

    public function run(Arguments $arguments, Terminal $terminal): int
    {
        Operands::none($arguments);
        $interval = $arguments->duration('interval', 2.0, 0.2, 3600.0);
        $looks = $arguments->number('count', PHP_INT_MAX, 1, 999_999_999);
        $isJson = $arguments->has('json');
        $cluster = Cluster::find($arguments);
        if ($terminal->isTerminal && Interrupt::isCaught()) {
            pcntl_signal(SIGWINCH, function (): void {
                $this->isResized = true;
            }, false);
        }
        for ($i = 1; !Interrupt::hasCome(); ++$i) {
            $next = hrtime(true) / 1e9 + $interval;
            $this->look($cluster, $terminal, $isJson, $interval);
            if ($i >= $looks || !$this->pause($next, $terminal)) {
                break;
            }
        }
        if ($terminal->isTerminal && Interrupt::hasCome()) {
            // The terminal has written ^C in this line.
            $terminal->write("\n");
        }

        return ExitCode::DONE;
    }

    /** Waits for the next look; false if a signal ends it. */
    private function pause(float $until, Terminal $terminal): bool
    {
        while (($left = $until - hrtime(true) / 1e9) > 0.0) {
            if (!Interrupt::sleep(min(0.1, $left))) {
                return false;
            }
            if ($this->isResized) {
                $this->isResized = false;
                $terminal->isResized();
                $this->draw($terminal);
            }
        }

        return true;
    }

    private function look(Cluster $cluster, Terminal $terminal, bool $isJson, float $interval): void
    {
        $at = date('Y-m-d H:i:s T');
        try {
            \HaDsn::invalidate($cluster->name);
            $members = Members::look($cluster, min(1.0, $interval));
            $lines = $members->lines($terminal);
            $value = $members->toArray();
        } catch (\HaDsn\DiscoveryException $error) {
            $value = Status::failed($cluster, $error);
            $lines = ['cluster ' . Text::safe($cluster->name) . ': ' . $terminal->colored('nobody answers', Color::Error), '', Text::line($error->getMessage())];
        } catch (Failure $failure) {
            if (Interrupt::hasCome()) {
                return;
            }
            throw $failure;
        }
        if ($isJson) {
            $terminal->write(Text::json(['at' => date(DATE_ATOM)] + $value, false));

            return;
        }
        array_unshift($lines, $terminal->colored("$at, every " . Text::duration($interval) . ', Ctrl-C ends', Color::Faint));
        if (!$terminal->isTerminal) {
            $terminal->write(implode("\n", $lines) . "\n\n");

            return;
        }
        $this->lines = $lines;
        $this->draw($terminal);
    }

    /** Puts the picture over the last one, in one write, so that nothing flickers. */
    private function draw(Terminal $terminal): void
    {
        if ($this->lines === []) {
            return;
        }
        $lines = $this->lines;
        $room = $terminal->rows() - 1;
        if (count($lines) > $room) {
            $hidden = count($lines) - $room + 1;
            $lines = [...array_slice($lines, 0, $room - 1), '… ' . Text::count($hidden, 'line') . ' more'];
        }
        $lines = array_map(static fn(string $line): string => self::clip($line, $terminal->columns() - 1) . "\x1b[K\n", $lines);
        $size = "{$terminal->columns()} x {$terminal->rows()}";
        $to = match (true) {
            $this->drawn === 0 => "\r",
            // In a terminal of another size nobody knows where the last picture has gone: everything is cleared.
            $this->size !== $size => "\x1b[H\x1b[2J",
            default => "\r\x1b[{$this->drawn}A",
        };
        $terminal->write($to . implode('', $lines) . "\x1b[J");
        [$this->drawn, $this->size] = [count($lines), $size];
    }

    /** Cuts a line with colours in it: a line that is too long would become two. */
    private static function clip(string $line, int $columns): string
    {
        $plain = (string) preg_replace('/\x1b\[[0-9;]*m/', '', $line);
        if (Text::width($plain) <= $columns) {
            return $line;
        }
        $out = '';
        $left = $columns;
        foreach (preg_split('/(\x1b\[[0-9;]*m)/', $line, -1, PREG_SPLIT_DELIM_CAPTURE | PREG_SPLIT_NO_EMPTY) ?: [] as $piece) {
            if ($piece[0] === "\x1b") {
                $out .= $piece;
            } else {
                $cut = Text::cut($piece, $left);
                $left -= Text::width($cut);
                $out .= $cut;
            }
        }

        return $out;
    }
}
