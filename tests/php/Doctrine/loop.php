<?php

/*
 * Does what Support/loop.php does, with Doctrine DBAL and its middleware: one connection object for the whole run, as in a worker.
 * Arguments: a role, and the file of which every turn becomes a line.
 */

declare(strict_types=1);

use Doctrine\DBAL\Configuration;
use Doctrine\DBAL\Connection;
use Doctrine\DBAL\Connections\PrimaryReadReplicaConnection;
use Doctrine\DBAL\DriverManager;
use Doctrine\DBAL\Exception as DbalException;
use HaDsn\CommitUnknownException;
use HaDsn\Doctrine\Middleware;
use HaDsn\Doctrine\Transactions;

require __DIR__ . '/autoload.php';

final class DoctrineLoop
{
    private Connection $db;
    private int $number = 0;

    /** @param resource $log */
    public function __construct(private readonly string $role, private readonly mixed $log)
    {
        $configuration = new Configuration();
        $configuration->setMiddlewares([new Middleware()]);
        $credentials = ['user' => 'app', 'password' => 'app', 'dbname' => 'app'];
        $this->db = DriverManager::getConnection([
            'wrapperClass' => PrimaryReadReplicaConnection::class,
            'driver' => 'pdo_pgsql',
            'primary' => $credentials,
            'replica' => [$credentials + ['hadsn' => 'reader']],
        ], $configuration);
    }

    public function run(): void
    {
        while (!self::isOver()) {
            ++$this->number;
            $start = hrtime(true);
            try {
                $server = $this->role === 'writer' ? $this->write() : $this->read();
                $this->tell($start, $server, null);
            } catch (DbalException|CommitUnknownException $e) {
                $this->tell($start, null, get_class($e) . ': ' . $e->getMessage());
            }
        }
    }

    private function write(): string
    {
        return Transactions::run(
            $this->db,
            fn(Connection $db): string => $db->executeQuery(
                'INSERT INTO loop (number) VALUES (?) RETURNING host(server)',
                [$this->number],
            )->fetchOne(),
        );
    }

    private function read(): string
    {
        $this->db->close();

        return $this->db->fetchOne('SELECT host(inet_server_addr())');
    }

    private function tell(int $start, ?string $server, ?string $error): void
    {
        $seconds = (hrtime(true) - $start) / 1e9;
        $turn = ['at' => microtime(true), 'seconds' => $seconds, 'number' => $this->number, 'host' => $server]
            + ['server' => $server, 'error' => $error];
        fwrite($this->log, json_encode($turn, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
    }

    private static function isOver(): bool
    {
        $read = [STDIN];
        $none = null;

        return stream_select($read, $none, $none, 0, 10_000) === 1;
    }
}

(new DoctrineLoop($argv[1], fopen($argv[2], 'w')))->run();
