<?php

/*
 * The process behind FakePatroni. Arguments: a directory, with the file `answers` in it, which may be replaced at any time;
 * every request is a line of the file `log`; and the file of a certificate, if it is to speak TLS. Ends with its standard input.
 */

declare(strict_types=1);

// A client that hangs up early is no news.
error_reporting(E_ALL & ~E_NOTICE & ~E_WARNING);

final class Connection
{
    public string $input = '';
    public ?string $output = null;
    public ?float $due = null;
    public float $interval = 0.0;
    public bool $hold = false;

    /** @param resource $socket */
    public function __construct(public readonly mixed $socket, public bool $isReady) {}
}

final class Server
{
    private const TLS = STREAM_CRYPTO_METHOD_TLSv1_2_SERVER | STREAM_CRYPTO_METHOD_TLSv1_3_SERVER;

    /** @var array<int, Connection> */
    private array $connections = [];
    private int $version = 0;
    private int $turn = 0;

    /** @param resource $listener */
    public function __construct(
        private readonly mixed $listener,
        private readonly string $directory,
        private readonly ?string $certificate,
    ) {}

    public function run(): void
    {
        while (true) {
            $now = microtime(true);
            $read = [-1 => STDIN, -2 => $this->listener];
            $write = [];
            $next = $now + 60.0;
            foreach ($this->connections as $id => $connection) {
                $read[$id] = $connection->socket;
                if ($connection->due !== null) {
                    if ($connection->due <= $now) {
                        $write[$id] = $connection->socket;
                    } else {
                        $next = min($next, $connection->due);
                    }
                }
            }
            $except = null;
            $wait = max(0.0, $next - $now);
            if (stream_select($read, $write, $except, (int) $wait, (int) (fmod($wait, 1.0) * 1e6) + 1) === false) {
                continue;
            }
            if (isset($read[-1]) && fgets(STDIN) === false) {
                return;
            }
            if (isset($read[-2])) {
                $this->accept();
            }
            foreach ($this->connections as $id => $connection) {
                if (isset($read[$id]) && !$this->read($connection) || isset($write[$id]) && !$this->write($connection)) {
                    fclose($connection->socket);
                    unset($this->connections[$id]);
                }
            }
        }
    }

    private function accept(): void
    {
        $socket = stream_socket_accept($this->listener, 0);
        if ($socket === false) {
            return;
        }
        if ($this->answer(false)['slam']) {
            $this->log('');
            $this->answer(true);
            fclose($socket);

            return;
        }
        stream_set_blocking($socket, false);
        if ($this->certificate !== null) {
            stream_context_set_option($socket, ['ssl' => [
                'local_cert' => $this->certificate,
                'local_pk' => substr($this->certificate, 0, -strlen('pem')) . 'key',
            ]]);
        }
        $this->connections[(int) $socket] = new Connection($socket, $this->certificate === null);
    }

    /** Whether the connection goes on. */
    private function read(Connection $connection): bool
    {
        if (!$connection->isReady) {
            // True when the handshake is done, 0 while it is not.
            $done = stream_socket_enable_crypto($connection->socket, true, self::TLS);
            if ($done !== true) {
                return $done === 0;
            }
            $connection->isReady = true;
        }
        $bytes = fread($connection->socket, 65536);
        if ($bytes === '' || $bytes === false) {
            return !feof($connection->socket);
        }
        $connection->input .= $bytes;
        if ($connection->output === null && str_contains($connection->input, "\r\n\r\n")) {
            $this->log($connection->input);
            $answer = $this->answer(true);
            $connection->output = $answer['bytes'];
            $connection->interval = $answer['interval'];
            $connection->hold = $answer['hold'];
            $connection->due = $answer['delay'] === null ? null : microtime(true) + $answer['delay'];
        }

        return true;
    }

    /** Whether the connection goes on. */
    private function write(Connection $connection): bool
    {
        $output = (string) $connection->output;
        $written = fwrite($connection->socket, $connection->interval > 0.0 ? substr($output, 0, 1) : $output);
        if ($written === false) {
            return false;
        }
        $connection->output = substr($output, $written);
        if ($connection->output === '') {
            $connection->due = null;

            return $connection->hold;
        }
        if ($connection->interval > 0.0) {
            $connection->due = microtime(true) + $connection->interval;
        }

        return true;
    }

    /** @return array{bytes: string, delay: float|null, interval: float, hold: bool, slam: bool} */
    private function answer(bool $take): array
    {
        $control = unserialize((string) file_get_contents("$this->directory/answers"), ['allowed_classes' => false]);
        if ($control['version'] !== $this->version) {
            $this->version = $control['version'];
            $this->turn = 0;
        }
        $answer = $control['turns'][min($this->turn, count($control['turns']) - 1)];
        $this->turn += (int) $take;

        return $answer;
    }

    private function log(string $request): void
    {
        $lines = explode("\r\n", $request);
        [$method, $target] = explode(' ', array_shift($lines)) + ['', ''];
        $headers = [];
        foreach ($lines as $line) {
            if (str_contains($line, ':')) {
                [$name, $value] = explode(':', $line, 2);
                $headers[strtolower($name)] = trim($value);
            }
        }
        $entry = ['at' => microtime(true), 'method' => $method, 'target' => $target, 'headers' => $headers];
        file_put_contents("$this->directory/log", json_encode($entry, JSON_THROW_ON_ERROR) . "\n", FILE_APPEND);
    }
}

$listener = stream_socket_server('tcp://127.0.0.1:0', $code, $message);
if ($listener === false) {
    fwrite(STDERR, "$message\n");
    exit(1);
}
echo stream_socket_get_name($listener, false), "\n";
(new Server($listener, $argv[1], $argv[2] ?? null))->run();
