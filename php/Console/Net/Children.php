<?php

declare(strict_types=1);

namespace HaDsn\Console\Net;

use HaDsn\Console\Failure;
use HaDsn\Console\Interrupt;
use HaDsn\Console\Warnings;

/**
 * PHP processes beside each other, for calls that PHP itself gives no deadline: those that have not ended in time are killed.
 *
 * @internal
 */
final class Children
{
    /**
     * Runs code once for each input.
     *
     * @param string               $code   without `<?php`; reads JSON from its standard input and writes JSON, a line each time
     * @param array<mixed>         $inputs for JSON; may hold secrets, which nobody sees in a pipe
     * @param float                $timeout for all of them together, in seconds
     *
     * @return array<list<mixed>> what each has written in time, with the same keys
     *
     * @throws Failure if no process can be started
     */
    public static function run(string $code, #[\SensitiveParameter] array $inputs, float $timeout): array
    {
        if ($inputs !== [] && !function_exists('proc_open')) {
            throw Failure::unwell('the function proc_open() is disabled: allow it on the command line (disable_functions in php.ini)');
        }
        $until = hrtime(true) + (int) ($timeout * 1e9);
        // Also when this process is killed, and can kill nobody any more: SIGALRM ends what waits for a server that is frozen.
        $code = sprintf('if (function_exists("pcntl_alarm")) { pcntl_alarm(%d); } ', (int) ceil($timeout) + 1) . $code;
        $processes = $pipes = $texts = [];
        try {
            foreach ($inputs as $key => $input) {
                $command = [PHP_BINARY, '-d', 'display_errors=0', '-d', 'log_errors=0', '-r', $code];
                $ends = [];
                [$process] = Warnings::collect(static function () use ($command, &$ends) {
                    return proc_open($command, [['pipe', 'r'], ['pipe', 'w'], ['file', '/dev/null', 'w']], $ends);
                });
                if (!is_resource($process)) {
                    throw Failure::unwell(PHP_BINARY . ' can\'t be started a second time: see the limits of processes and memory');
                }
                $processes[] = $process;
                /** @var array{resource, resource} $ends */
                [, $pipes[$key]] = $ends;
                // Less than a pipe holds: it can't block.
                fwrite($ends[0], json_encode($input, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE));
                fclose($ends[0]);
                stream_set_blocking($ends[1], false);
                $texts[$key] = '';
            }
            while ($pipes !== [] && ($left = $until - hrtime(true)) > 0) {
                Interrupt::check();
                $read = $pipes;
                $none = null;
                [$ready] = Warnings::collect(static function () use (&$read, &$none, $left): int|false {
                    return stream_select($read, $none, $none, 0, (int) min($left / 1000 + 1, 500_000));
                });
                foreach ($ready === false ? [] : $read as $key => $pipe) {
                    $texts[$key] .= stream_get_contents($pipe);
                    if (feof($pipe)) {
                        fclose($pipe);
                        unset($pipes[$key]);
                    }
                }
            }
        } finally {
            foreach ($pipes as $pipe) {
                fclose($pipe);
            }
            foreach ($processes as $process) {
                proc_terminate($process, 9);
                proc_close($process);
            }
        }

        return array_map(static fn(string $text): array => array_map(
            static fn(string $line): mixed => json_decode($line, true),
            // What is behind the last line's end was not written to its own.
            array_slice(explode("\n", $text), 0, -1),
        ), $texts);
    }
}
