<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Text;

/**
 * The clocks of the nodes, against this host's. hadsn itself does not rely on them; certificates, tokens and whoever compares
 * logs do.
 *
 * @internal
 */
final class Clocks
{
    /** From here on it is worth a word, and a warning, in seconds. */
    private const NOTICE = 2.0;
    private const WARNING = 5.0;

    /** @var array<string, float> how far each is ahead, as far as that is certain */
    private array $ahead = [];

    /**
     * Takes a `Date` header (RFC 9110), which has whole seconds.
     *
     * @param float $startedAt when it was asked for, by this host's clock
     * @param float $seconds   how long the answer took
     */
    public function heard(string $node, ?string $date, float $startedAt, float $seconds): void
    {
        $at = $date === null ? false : strtotime($date);
        if ($at !== false) {
            // It was between asking and answering, and within the second.
            $this->note($node, $at - $startedAt - $seconds, $at + 1.0 - $startedAt);
        }
    }

    /** Takes what a server said of the time, at some time between the two. */
    public function told(string $node, float $at, float $from, float $to): void
    {
        $this->note($node, $at - $to, $at - $from);
    }

    public function report(Report $report): void
    {
        foreach ($this->ahead as $node => $ahead) {
            if (abs($ahead) < self::NOTICE) {
                continue;
            }
            $report->add(
                'clock.differs',
                abs($ahead) < self::WARNING ? Level::Notice : Level::Warning,
                $node,
                'its clock is ' . Text::duration(abs($ahead)) . ($ahead > 0.0 ? ' ahead of' : ' behind') . ' this host\'s',
                'let chrony or systemd-timesyncd set the clocks of both: certificates and logs depend on them',
            );
        }
        $fine = array_keys(array_filter($this->ahead, static fn(float $ahead): bool => abs($ahead) < self::NOTICE));
        if ($fine !== []) {
            $report->ok('clock.agrees', implode(', ', $fine), 'within ' . Text::duration(self::NOTICE) . ' of this host\'s clock');
        }
    }

    /** The clock is between these two ahead: what is certain is the one nearer to nothing. */
    private function note(string $node, float $least, float $most): void
    {
        $ahead = $least > 0.0 ? $least : ($most < 0.0 ? $most : 0.0);
        if (!isset($this->ahead[$node]) || abs($ahead) > abs($this->ahead[$node])) {
            $this->ahead[$node] = $ahead;
        }
    }
}
