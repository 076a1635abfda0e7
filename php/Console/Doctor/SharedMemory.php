<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Text;
use HaDsn\Console\Warnings;

/**
 * The directory where the PHP processes of a user share what they know.
 *
 * @internal
 */
final class SharedMemory
{
    /** What a test file has, and what should be free beside it, in bytes. */
    private const NEEDED = 64 << 10;
    private const COMFORT = 1 << 20;

    /** @param string|null $given the directory of the option --shared-dir */
    public static function check(?string $given, Report $report): void
    {
        $setting = ini_get('hadsn.shared');
        $directory = $given ?? ($setting === false || $setting === '' ? '/dev/shm' : $setting);
        if ($directory === 'off') {
            $report->ok('shm.off', 'hadsn.shared', 'off: every process asks for itself');

            return;
        }
        // A version that keeps everything in the process does without it.
        $level = $given === null && $setting === false ? Level::Notice : Level::Warning;
        $reason = self::write($directory);
        if ($reason !== null) {
            $report->add(
                'shm.unusable',
                $level,
                $directory,
                $reason,
                'make it a directory that the user of the PHP processes may write to, with room in it (in containers: --shm-size), or name another in hadsn.shared',
            );

            return;
        }
        $free = disk_free_space($directory);
        if (is_float($free) && $free < self::COMFORT) {
            $report->add(
                'shm.space',
                $level,
                $directory,
                'only ' . Text::bytes((int) $free) . ' are free',
                'see what fills it, or name another directory in hadsn.shared',
            );

            return;
        }
        $report->ok('shm.usable', $directory, 'can be written to' . (is_float($free) ? ', ' . Text::bytes((int) $free) . ' free' : ''));
    }

    /** Writes a file and removes it; returns why that did not work. */
    private static function write(string $directory): ?string
    {
        if (!is_dir($directory)) {
            return 'is no directory';
        }
        $file = "$directory/hadsn-doctor-" . bin2hex(random_bytes(8));
        [$handle, $warning] = Warnings::collect(static fn() => fopen($file, 'x'));
        if ($handle === false) {
            return 'a file can\'t be made there: ' . Warnings::reason($warning);
        }
        try {
            [$written, $warning] = Warnings::collect(static fn(): int|false => fwrite($handle, str_repeat("\0", self::NEEDED)));

            return $written === self::NEEDED ? null : 'a file can\'t be written there: ' . ($warning === '' ? 'no space left' : Warnings::reason($warning));
        } finally {
            fclose($handle);
            unlink($file);
        }
    }
}
