<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * A folder in which somebody does what a page of docs/ says. `php` is the PHP under test there, and Composer takes hadsn from this repository.
 */
class Workplace
{
    public readonly string $path;

    /** What the commands have said so far. */
    private string $said = '';

    /** @var list<Process> the servers that were started */
    private array $servers = [];

    private readonly Directory $directory;

    /**
     * @param array<string, string> $ini      settings of `php`
     * @param array<string, string> $packages what else Composer has: a folder with an `autoload.php`, by the package's name
     * @param string|null           $skeleton what is there already: a folder
     * @param array<string, mixed>  $composer what its composer.json says besides
     */
    public function __construct(array $ini = [], array $packages = [], ?string $skeleton = null, array $composer = [])
    {
        $this->directory = new Directory();
        $this->path = "{$this->directory->path}/app";
        mkdir($this->path);
        mkdir("{$this->directory->path}/bin");
        $command = implode(' ', array_map(escapeshellarg(...), Php::command($ini)));
        chmod($this->directory->write('bin/php', "#!/bin/sh\nexec $command \"\$@\"\n"), 0755);
        if ($skeleton !== null) {
            $this->run('cp -a ' . escapeshellarg($skeleton) . '/. .');
        }
        $this->write('composer.json', json_encode($composer + self::offline($packages), JSON_THROW_ON_ERROR));
    }

    public function __destruct()
    {
        $this->stop();
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

    /** Sets variables of an environment file, in place of what they were. */
    public function set(string $name, string $lines): void
    {
        $text = (string) file_get_contents("$this->path/$name");
        foreach (explode("\n", trim($lines)) as $line) {
            $variable = strstr($line, '=', true);
            $text = preg_replace("/^$variable=.*\n/m", '', $text) . "$line\n";
        }
        file_put_contents("$this->path/$name", $text);
    }

    /** Puts lines behind one that holds a text, and behind the brace that follows it. */
    public function insert(string $name, string $line, string $content): void
    {
        $file = "$this->path/$name";
        $text = (string) file_get_contents($file);
        $pattern = '/^.*' . preg_quote($line, '/') . '.*\n(?: *\{\n)?/m';
        $changed = preg_replace($pattern, '$0' . addcslashes($content, '\\$'), $text, 1, $count);
        if ($count !== 1) {
            throw new \RuntimeException("$name has no line with $line");
        }
        file_put_contents($file, $changed);
    }

    /** Runs commands that have to succeed, and remembers what they say. */
    public function run(string $commands): void
    {
        $outcome = $this->shell($commands);
        $this->said .= $outcome->stdout;
        if ($outcome->exitCode !== 0) {
            throw new \RuntimeException("$commands\n{$outcome->stdout}{$outcome->stderr}");
        }
    }

    /** Starts PHP's web server, and returns when it takes requests. */
    public function serve(string $command): void
    {
        $this->servers[] = $server = $this->start($command);
        $server->waitFor('~\(http://[\d.:]+\) started~', 20.0, 2);
    }

    /** What the commands have said so far. */
    public function said(): string
    {
        return $this->said;
    }

    /**
     * Runs a shell command.
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

    /** Ends the servers. */
    public function stop(): void
    {
        foreach ($this->servers as $server) {
            $server->stop();
        }
        $this->servers = [];
    }

    /**
     * Composer as usual, with what is on this machine in place of what is on the network.
     *
     * @param array<string, string> $packages as above
     *
     * @return array<string, mixed>
     */
    private static function offline(array $packages): array
    {
        $repositories = [['type' => 'path', 'url' => Page::package()], ['packagist' => false]];
        foreach ($packages as $name => $folder) {
            $package = ['name' => $name, 'version' => '1.0.0', 'dist' => ['type' => 'path', 'url' => $folder], 'autoload' => ['files' => ['autoload.php']]];
            $repositories[] = ['type' => 'package', 'package' => $package];
        }

        return ['repositories' => $repositories, 'minimum-stability' => 'dev'];
    }

    /** @return array<string, string> */
    private function environment(): array
    {
        return [
            'PATH' => "{$this->directory->path}/bin:" . getenv('PATH'),
            'COMPOSER_HOME' => "{$this->directory->path}/composer",
            'COMPOSER_ALLOW_SUPERUSER' => '1',
            'COMPOSER_NO_INTERACTION' => '1',
            'COMPOSER_DISABLE_NETWORK' => '1',
            'NO_COLOR' => '1',
        ];
    }
}
