<?php

declare(strict_types=1);

namespace HaDsn\Tests\Failover;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Loopback;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Process;

/**
 * A PostgreSQL server of a test's own, which may be stopped, crashed and misconfigured as no node of the lab may. It has the
 * database `app` of the user `app` (password `app`), and the superuser `postgres` (password `postgres`), on a loopback address and
 * a port of its own.
 */
final class Postgres
{
    public const HOST = '127.0.0.40';

    public readonly int $port;
    private readonly Directory $directory;
    private ?Process $server = null;

    /** @param bool $isGerman whether what it says is German */
    public function __construct(private readonly bool $isGerman = false)
    {
        $this->directory = self::directory();
        self::finish(self::asServer(['/bin/cp', '-a', self::template() . '/data', $this->data()]));
        $this->port = (int) substr(strrchr(Loopback::free(self::HOST), ':'), 1);
    }

    public function __destruct()
    {
        $this->stop();
    }

    /**
     * Starts it, and returns as soon as it answers anything at all.
     *
     * @param array<string, string|int> $settings of postgresql.conf
     */
    public function start(array $settings = []): self
    {
        $settings += [
            'listen_addresses' => self::HOST,
            'port' => $this->port,
            'unix_socket_directories' => '',
            'fsync' => 'off',
            'shared_buffers' => '16MB',
            'max_wal_senders' => 0,
            'wal_level' => 'minimal',
            'autovacuum' => 'off',
            'lc_messages' => $this->isGerman ? German::LOCALE : 'C',
        ];
        $command = [self::programs() . '/postgres', '-D', $this->data()];
        foreach ($settings as $name => $value) {
            array_push($command, '-c', "$name=$value");
        }
        // Its log goes to a file: a pipe that nobody reads would stop it.
        $command = self::asServer(['/bin/sh', '-c', 'exec "$@" >>"$0" 2>&1', $this->log(), ...$command]);
        $this->server = new Process($command, ['LOCPATH' => German::path()], '', $this->data());
        $this->await(fn(): bool => $this->status() !== null, 'it listens');

        return $this;
    }

    /** Starts it, and returns when it takes connections. */
    public function up(array $settings = []): self
    {
        $this->start($settings);
        $this->await(fn(): bool => $this->takesConnections(), 'it takes connections');

        return $this;
    }

    /** Ends it, at once (SIGQUIT) unless told otherwise. */
    public function stop(int $signal = SIGQUIT): void
    {
        if ($this->server === null) {
            return;
        }
        if ($this->server->isRunning()) {
            $this->server->signal($signal);
        }
        try {
            $this->server->wait(20.0);
        } finally {
            $this->server->stop();
            $this->server = null;
        }
    }

    /** Sends its postmaster a signal. */
    public function signal(int $signal): void
    {
        $this->server->signal($signal);
    }

    public function awaitConnections(): void
    {
        $this->await(fn(): bool => $this->takesConnections(), 'it takes connections');
    }

    /** A file in its data folder. */
    public function write(string $name, string $content): string
    {
        file_put_contents("{$this->data()}/$name", $content);
        self::give("{$this->data()}/$name");

        return "{$this->data()}/$name";
    }

    public function remove(string $name): void
    {
        unlink("{$this->data()}/$name");
    }

    /** What it has written to its log so far. */
    public function said(): string
    {
        return (string) file_get_contents($this->log());
    }

    public function dsn(string $more = '', string $database = 'app'): string
    {
        return 'pgsql:host=' . self::HOST . ";port=$this->port;dbname=$database" . ($more === '' ? '' : ";$more");
    }

    /** @param array<int, mixed> $options */
    public function connect(string $user = 'app', array $options = [], string $more = '', string $database = 'app'): \PDO
    {
        return new \PDO($this->dsn($more, $database), $user, $user, $options + [\PDO::ATTR_TIMEOUT => 5]);
    }

    /**
     * How Patroni would describe it as the leader.
     *
     * @return array<string, mixed>
     */
    public function asLeader(): array
    {
        return Nodes::leader('own', self::HOST, ['port' => $this->port, 'timeline' => null]);
    }

    /** @return array<string, mixed> */
    public function asReplica(): array
    {
        return Nodes::replica('own', self::HOST, ['port' => $this->port, 'timeline' => null]);
    }

    /** What its lock file says: nothing, `starting`, `stopping`, `ready` or `standby` (the last line, from when it listens on). */
    private function status(): ?string
    {
        $file = "{$this->data()}/postmaster.pid";
        $lines = is_file($file) ? file($file, FILE_IGNORE_NEW_LINES) : [];

        return isset($lines[7]) ? trim($lines[7]) : null;
    }

    private function takesConnections(): bool
    {
        try {
            $this->connect('postgres');

            return true;
        } catch (\PDOException) {
            return false;
        }
    }

    private function await(callable $condition, string $what): void
    {
        $deadline = microtime(true) + 20.0;
        while (!$condition()) {
            if (microtime(true) > $deadline || $this->server?->isRunning() !== true) {
                throw new \RuntimeException("PostgreSQL: $what: not in time\n{$this->said()}");
            }
            usleep(10_000);
        }
    }

    private function data(): string
    {
        return "{$this->directory->path}/data";
    }

    private function log(): string
    {
        return "{$this->directory->path}/log";
    }

    /** A data folder to copy, made once. */
    private static function template(): string
    {
        static $directory = null;
        if ($directory === null) {
            $directory = self::directory();
            $data = "$directory->path/data";
            $password = $directory->write('password', "postgres\n");
            self::give($password);
            self::finish(self::asServer([
                self::programs() . '/initdb', '-D', $data, '--no-sync', '--no-locale', '--encoding=UTF8', '-A', 'scram-sha-256',
                '-U', 'postgres', "--pwfile=$password",
            ]));
            $sql = "CREATE ROLE app LOGIN PASSWORD 'app'\nCREATE DATABASE app OWNER app\n";
            self::finish(self::asServer([self::programs() . '/postgres', '--single', '-F', '-D', $data, 'postgres']), $sql);
            file_put_contents("$data/pg_hba.conf", "host all all 127.0.0.0/8 scram-sha-256\n");
        }

        return $directory->path;
    }

    /** Where Debian has the programs of its PostgreSQL, the newest if there are several. */
    private static function programs(): string
    {
        $folders = glob('/usr/lib/postgresql/*/bin') ?: throw new \RuntimeException('there is no PostgreSQL in /usr/lib/postgresql');
        natsort($folders);

        return end($folders);
    }

    private static function directory(): Directory
    {
        $directory = new Directory();
        self::give($directory->path);

        return $directory;
    }

    /**
     * PostgreSQL refuses to run as root. What is started ends with this process, however that ends.
     *
     * @param list<string> $command
     *
     * @return list<string>
     */
    private static function asServer(array $command): array
    {
        $user = posix_geteuid() === 0 ? ['--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];

        return ['/usr/bin/setpriv', ...$user, '--pdeathsig=QUIT', '--', ...$command];
    }

    private static function give(string $path): void
    {
        if (posix_geteuid() === 0) {
            // By number: a thread-safe debug build of PHP 8.2 finds no user by name.
            ['uid' => $user, 'gid' => $group] = posix_getpwnam('postgres');
            chown($path, $user);
            chgrp($path, $group);
        }
    }

    /** @param list<string> $command */
    private static function finish(array $command, string $input = ''): void
    {
        $outcome = (new Process($command, ['LC_ALL' => 'C'], $input, '/'))->wait(60.0);
        if ($outcome->exitCode !== 0) {
            throw new \RuntimeException(implode(' ', $command) . ": {$outcome->stdout}{$outcome->stderr}");
        }
    }
}
