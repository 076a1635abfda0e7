<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Failure;
use HaDsn\Console\Text;

/**
 * The pools of php-fpm: by default they do not hand on the environment, HADSN_URL included.
 *
 * @internal
 */
final class FpmPools
{
    /** Where distributions and containers keep them. */
    private const PLACES = ['/etc/php/*/fpm/pool.d/*.conf', '/etc/php-fpm.d/*.conf', '/etc/php*/php-fpm.d/*.conf', '/usr/local/etc/php-fpm.d/*.conf'];

    /**
     * @param string|null $pattern of files, in place of the usual ones
     * @param string|null $given   the environment variable that configures the cluster here; null: something else does
     * @param string      $cluster the cluster's name
     */
    public static function check(?string $pattern, ?string $given, string $cluster, Report $report): void
    {
        $files = array_merge(...array_map(static fn(string $place): array => glob($place) ?: [], $pattern === null ? self::PLACES : [$pattern]));
        if ($files === [] && $pattern !== null) {
            throw Failure::usage('option --fpm-pool: no file is called ' . Text::quoted($pattern));
        }
        foreach (self::pools($files) as $name => $pool) {
            self::judge($name, $pool, $given, $cluster, $report);
        }
        if ($files === []) {
            $report->ok('fpm.none', 'php-fpm', 'no pools on this machine');
        }
    }

    /** @param array{files: list<string>, settings: array<string, string>} $pool */
    private static function judge(string $name, array $pool, ?string $given, string $cluster, Report $report): void
    {
        $subject = $name . ' (' . implode(', ', $pool['files']) . ')';
        $settings = $pool['settings'];
        $variable = 'HADSN_URL' . ($cluster === 'default' ? '' : '_' . strtoupper($cluster));
        $setting = $cluster === 'default' ? 'hadsn.url' : "hadsn.url.$cluster";
        foreach (["env[$variable]", "env[{$variable}_FILE]", "php_admin_value[$setting]"] as $own) {
            if (isset($settings[$own])) {
                $report->ok('fpm.own', $subject, "has $own");

                return;
            }
        }
        $keeps = in_array(strtolower(trim($settings['clear_env'] ?? '', "'\"")), ['no', 'off', '0', 'false'], true);
        if ($given === null) {
            $report->ok('fpm.ini', $subject, 'leaves the source string to php-fpm\'s own php.ini, which is not looked at here');
        } elseif (!$keeps) {
            $report->add(
                'fpm.clear_env',
                Level::Warning,
                $subject,
                "clear_env is on: requests do not see $given",
                "write env[$given] = \$$given into the pool, or clear_env = no, or php_admin_value[$setting] = ..., and reload php-fpm",
            );
        } else {
            $report->ok('fpm.environment', $subject, "clear_env = no: requests see $given, if php-fpm itself does");
        }
    }

    /**
     * The pools, each with what all files beside each other say of it: in containers that is more than one.
     *
     * @param list<string> $files
     *
     * @return array<string, array{files: list<string>, settings: array<string, string>}>
     */
    private static function pools(array $files): array
    {
        $pools = [];
        $names = [];
        foreach (array_filter($files, is_readable(...)) as $file) {
            $key = null;
            foreach (file($file, FILE_IGNORE_NEW_LINES) ?: [] as $line) {
                $line = trim($line);
                if (preg_match('/^\[([^\]]+)\]$/', $line, $found) === 1) {
                    $key = $found[1] === 'global' ? null : dirname($file) . " $found[1]";
                    if ($key !== null) {
                        $names[$key] = $found[1];
                        $pools[$key]['settings'] ??= [];
                        $pools[$key]['files'] = array_values(array_unique([...$pools[$key]['files'] ?? [], $file]));
                    }
                } elseif ($key !== null && preg_match('/^([A-Za-z_]+(?:\[[^\]]+\])?)\s*=\s*([^;]*)/', $line, $found) === 1) {
                    $pools[$key]['settings'][$found[1]] = trim($found[2]);
                }
            }
        }
        $named = [];
        foreach ($pools as $key => $pool) {
            $named[isset($named["pool {$names[$key]}"]) ? "pool {$names[$key]} in " . dirname($pool['files'][0]) : "pool {$names[$key]}"] = $pool;
        }

        return $named;
    }
}
