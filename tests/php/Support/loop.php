<?php

/*
 * The process behind Loop. Arguments: a role, and the file of which every turn becomes a line. It does all that an application
 * needs to do for a failover: when something fails it says so to hadsn, and connects again. Ends with its standard input.
 */

declare(strict_types=1);

final class Loop
{
    private ?PDO $pdo = null;
    private string $host = '';
    private int $number = 0;

    /** @param resource $log */
    public function __construct(private readonly string $role, private readonly mixed $log) {}

    public function run(): void
    {
        while (!self::isOver()) {
            $start = hrtime(true);
            try {
                $server = $this->role === 'writer' ? $this->write() : $this->read();
                $this->tell($start, ['host' => $this->host, 'server' => $server, 'error' => null]);
            } catch (PDOException|HaDsn\Exception $e) {
                $this->pdo = null;
                HaDsn::invalidate();
                $this->tell($start, ['host' => $this->host, 'server' => null, 'error' => get_class($e) . ': ' . $e->getMessage()]);
            }
        }
    }

    /** Returns the server that has acknowledged the row. */
    private function write(): string
    {
        ++$this->number;
        $this->pdo ??= $this->connect(HaDsn::writer());
        $insert = $this->pdo->prepare('INSERT INTO loop (number) VALUES (?) RETURNING host(server)');
        $insert->execute([$this->number]);

        return $insert->fetchColumn();
    }

    /** Returns the server that has answered. */
    private function read(): string
    {
        ++$this->number;
        $pdo = $this->connect(HaDsn::reader());

        return $pdo->query('SELECT host(inet_server_addr())')->fetchColumn();
    }

    private function connect(string $dsn): PDO
    {
        preg_match('/host=([^;]+)/', $dsn, $found);
        $this->host = $found[1];

        return new PDO($dsn, 'app', 'app', [PDO::ATTR_TIMEOUT => 2]);
    }

    /** @param array<string, string|null> $facts */
    private function tell(int $start, array $facts): void
    {
        $turn = ['at' => microtime(true), 'seconds' => (hrtime(true) - $start) / 1e9, 'number' => $this->number] + $facts;
        fwrite($this->log, json_encode($turn, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
    }

    /** Gives the next turn its 10 ms. */
    private static function isOver(): bool
    {
        $read = [STDIN];
        $none = null;

        return stream_select($read, $none, $none, 0, 10_000) === 1;
    }
}

(new Loop($argv[1], fopen($argv[2], 'w')))->run();
