<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Color;
use HaDsn\Console\Terminal;
use HaDsn\Console\Text;

/**
 * The findings, collected, and how they are shown. Texts are made harmless here, in one place.
 *
 * @internal
 */
final class Report
{
    /** The sections in the order in which they are shown, and their titles. */
    private const SECTIONS = [
        'configuration' => 'Configuration',
        'srv' => 'DNS SRV records',
        'endpoint' => 'REST API endpoints',
        'tls' => 'TLS',
        'cluster' => 'Cluster',
        'member' => 'Members',
        'login' => 'Logins',
        'slot' => 'Replication slots',
        'clock' => 'Clocks',
        'shm' => 'Shared memory',
        'fpm' => 'PHP-FPM',
    ];

    private const WIDEST = 120;

    /** @var list<Finding> */
    private array $findings = [];

    public function ok(string $id, string $subject, string $message): void
    {
        $this->findings[] = new Finding($id, Level::Ok, $subject, $message);
    }

    public function add(string $id, Level $level, string $subject, string $message, string $advice): void
    {
        $this->findings[] = new Finding($id, $level, $subject, $message, $advice);
    }

    public function worst(): Level
    {
        $worst = Level::Ok;
        foreach ($this->findings as $finding) {
            $worst = $finding->level->rank() > $worst->rank() ? $finding->level : $worst;
        }

        return $worst;
    }

    public function text(Terminal $terminal, string $cluster, float $seconds): string
    {
        $width = max(60, min(self::WIDEST, $terminal->columns()));
        $out = '';
        foreach (self::SECTIONS as $section => $title) {
            $findings = array_filter($this->findings, static fn(Finding $finding): bool => $finding->section() === $section);
            if ($findings === []) {
                continue;
            }
            $out .= $terminal->colored($title, Color::Heading) . "\n";
            foreach ($findings as $finding) {
                $out .= $this->entry($finding, $terminal, $width);
            }
            $out .= "\n";
        }
        $counts = [];
        foreach ($this->counts() as $level => $count) {
            if ($count > 0 || $level === 'ok') {
                $counts[] = $level === 'ok' ? "$count ok" : Text::count($count, $level);
            }
        }

        return $out . 'cluster ' . Text::safe($cluster) . ': ' . $terminal->colored(implode(', ', array_reverse($counts)), $this->worst()->color())
            . ', in ' . Text::duration($seconds) . "\n";
    }

    public function json(string $cluster, float $seconds): string
    {
        return Text::json([
            'cluster' => $cluster,
            'level' => $this->worst()->value,
            'counts' => $this->counts(),
            'seconds' => round($seconds, 3),
            'findings' => array_map(static fn(Finding $finding): array => [
                'id' => $finding->id,
                'level' => $finding->level->value,
                'subject' => self::safe($finding->subject),
                'message' => self::safe($finding->message),
                'advice' => $finding->advice === null ? null : self::safe($finding->advice),
            ], $this->findings),
        ]);
    }

    private function entry(Finding $finding, Terminal $terminal, int $width): string
    {
        $indent = str_repeat(' ', 11);
        $lines = Text::wrap(self::safe("$finding->subject: $finding->message"), $width - 11);
        if ($finding->advice !== null) {
            foreach (Text::wrap(self::safe($finding->advice), $width - 13) as $i => $line) {
                $lines[] = ($i === 0 ? '→ ' : '  ') . $line;
            }
        }

        return '  ' . $terminal->colored(Text::pad($finding->level->value, 7), $finding->level->color()) . '  ' . implode("\n$indent", $lines) . "\n";
    }

    /** What is to be done may stand at the end of a long text. */
    private static function safe(string $text): string
    {
        return Text::safe($text, Text::LONGEST_MESSAGE);
    }

    /** @return array<string, int> */
    private function counts(): array
    {
        $counts = ['ok' => 0, 'notice' => 0, 'warning' => 0, 'error' => 0];
        foreach ($this->findings as $finding) {
            ++$counts[$finding->level->value];
        }

        return $counts;
    }
}
