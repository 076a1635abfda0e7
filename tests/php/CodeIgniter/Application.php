<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Outcome;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;

/**
 * A fresh CodeIgniter application, as somebody has it who begins: the framework's own skeleton. tests/lab/install brings it.
 */
final class Application
{
    private const SKELETON = '/var/tmp/hadsn-codeigniter-4.1.3';

    public readonly string $path;
    private readonly Directory $directory;

    public function __construct()
    {
        if (!is_file(self::SKELETON . '/system/CodeIgniter.php')) {
            throw new \RuntimeException('there is no CodeIgniter in ' . self::SKELETON . ': run tests/lab/install lab, which fetches it');
        }
        $this->directory = new Directory();
        $this->path = "{$this->directory->path}/app";
        self::finish(new Process(['/bin/cp', '-a', self::SKELETON, $this->path]));
        // 4.1 is older than PHP 8.2, and its spark makes an exception of every deprecation. docs/codeigniter.md tells so.
        $spark = (string) file_get_contents("$this->path/spark");
        $this->write('spark', str_replace('error_reporting(-1);', 'error_reporting(E_ALL & ~E_DEPRECATED);', $spark));
    }

    /** This repository. */
    public static function package(): string
    {
        return dirname(__DIR__, 3);
    }

    /** Writes a file, with the folders that lead to it. */
    public function write(string $name, string $content): void
    {
        $file = "$this->path/$name";
        if (!is_dir(dirname($file))) {
            mkdir(dirname($file), 0755, true);
        }
        file_put_contents($file, $content);
    }

    public function append(string $name, string $content): void
    {
        file_put_contents("$this->path/$name", $content, FILE_APPEND);
    }

    /** Puts lines behind the line that begins an array. */
    public function insert(string $name, string $line, string $content): void
    {
        $file = "$this->path/$name";
        $text = (string) file_get_contents($file);
        $changed = preg_replace('/^.*' . preg_quote($line, '/') . '.*\n/m', '$0' . addcslashes($content, '\\$'), $text, 1, $count);
        if ($count !== 1) {
            throw new \RuntimeException("$name has no line with $line");
        }
        file_put_contents($file, $changed);
    }

    /**
     * Runs a shell command in it, where `php` is the PHP under test.
     *
     * @param array<string, string> $environment
     */
    public function shell(string $command, array $environment = []): Outcome
    {
        return (new Process(['/bin/sh', '-ec', $command], $environment + $this->environment(), '', $this->path))->wait(120.0);
    }

    /** @param array<string, string> $environment */
    public function start(string $command, array $environment = []): Process
    {
        return new Process(['/bin/sh', '-ec', "exec $command"], $environment + $this->environment(), '', $this->path);
    }

    /** What it has logged so far. */
    public function log(): string
    {
        return implode('', array_map('file_get_contents', glob("$this->path/writable/logs/*.log") ?: []));
    }

    /** @return array<string, string> */
    private function environment(): array
    {
        $bin = "{$this->directory->path}/bin";
        if (!is_dir($bin)) {
            mkdir($bin);
            $command = implode(' ', array_map('escapeshellarg', Php::command(['error_reporting' => (string) (E_ALL & ~E_DEPRECATED)])));
            file_put_contents("$bin/php", "#!/bin/sh\nexec $command \"\$@\"\n");
            chmod("$bin/php", 0755);
        }

        return [
            'PATH' => "$bin:" . getenv('PATH'),
            'COMPOSER_HOME' => "{$this->directory->path}/composer",
            'COMPOSER_ALLOW_SUPERUSER' => '1',
            'COMPOSER_NO_INTERACTION' => '1',
            'COMPOSER_DISABLE_NETWORK' => '1',
            'NO_COLOR' => '1',
        ];
    }

    private static function finish(Process $process): void
    {
        $outcome = $process->wait(60.0);
        if ($outcome->exitCode !== 0) {
            throw new \RuntimeException("{$outcome->stdout}{$outcome->stderr}");
        }
    }
}
