<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Process;

/**
 * A PgBouncer that pools transactions: its clients stay connected when the server behind it becomes another one.
 */
final class Pooler
{
    private readonly Directory $directory;
    private readonly Process $process;

    /** @param string $address where it listens: host and port */
    public function __construct(private readonly string $address, string $server)
    {
        $this->directory = new Directory();
        chmod($this->directory->path, 0755);
        $this->write($server);
        $this->process = new Process(['/usr/sbin/pgbouncer', '-u', 'nobody', "{$this->directory->path}/pgbouncer.ini"]);
        $this->process->waitFor('~process up~', 20.0, 2);
    }

    /** Leads to another server from now on. */
    public function leadTo(string $server): void
    {
        $this->write($server);
        $this->process->signal(SIGHUP);
        $deadline = microtime(true) + 20.0;
        while (Lab::ask($this->connect(), 'SELECT host(inet_server_addr())') !== $server) {
            if (microtime(true) > $deadline) {
                throw new \RuntimeException("PgBouncer does not lead to $server");
            }
            usleep(10_000);
        }
    }

    public function stop(): void
    {
        $this->process->stop();
    }

    private function connect(): \PDO
    {
        [$host, $port] = explode(':', $this->address);

        return new \PDO("pgsql:host=$host;port=$port;dbname=app", 'app', 'app', [\PDO::ATTR_EMULATE_PREPARES => true]);
    }

    private function write(string $server): void
    {
        [$host, $port] = explode(':', $this->address);
        $this->directory->write('pgbouncer.ini', <<<INI
            [databases]
            app = host=$server port=5432 user=app password=app
            [pgbouncer]
            listen_addr = $host
            listen_port = $port
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            ignore_startup_parameters = extra_float_digits
            INI);
    }
}
