<?php

/*
 * The process behind Proxy. Arguments: the address to listen at, the host and port of the server, and a directory, with the file
 * `mode` in it, which may be replaced at any time. Ends with its standard input.
 */

declare(strict_types=1);

final class Pair
{
    public bool $isCommitting = false;

    /**
     * @param resource      $client
     * @param resource|null $server
     */
    public function __construct(public readonly mixed $client, public readonly mixed $server) {}
}

final class Server
{
    /** @var array<int, Pair> */
    private array $pairs = [];

    /** @param resource $listener */
    public function __construct(private readonly mixed $listener, private readonly string $target, private readonly string $directory) {}

    public function run(): void
    {
        while (true) {
            $read = ['in' => STDIN, 'listener' => $this->listener];
            foreach ($this->pairs as $id => $pair) {
                $read["client $id"] = $pair->client;
                if ($pair->server !== null) {
                    $read["server $id"] = $pair->server;
                }
            }
            $none = null;
            if (stream_select($read, $none, $none, 60) === false) {
                continue;
            }
            if (isset($read['in']) && fgets(STDIN) === false) {
                return;
            }
            if (isset($read['listener'])) {
                $this->accept();
            }
            foreach ($this->pairs as $id => $pair) {
                $goesOn = (!isset($read["client $id"]) || $this->fromClient($pair))
                    && (!isset($read["server $id"]) || $this->fromServer($pair));
                if (!$goesOn) {
                    fclose($pair->client);
                    if ($pair->server !== null) {
                        fclose($pair->server);
                    }
                    unset($this->pairs[$id]);
                }
            }
        }
    }

    private function accept(): void
    {
        $client = stream_socket_accept($this->listener, 0);
        $server = in_array($this->mode(), ['silence', 'slam', 'slam with reset'], true) ? null : stream_socket_client($this->target);
        $this->pairs[(int) $client] = new Pair($client, $server);
    }

    /** Whether the connection goes on. */
    private function fromClient(Pair $pair): bool
    {
        $bytes = fread($pair->client, 65536);
        if ($bytes === '' || $bytes === false) {
            return false;
        }
        $isQuery = in_array($bytes[0], ['Q', 'P'], true);
        $mode = $this->mode();
        if ($mode === 'slam with reset' || ($isQuery && $mode === 'reset')) {
            self::resetAtEnd($pair->client);

            return false;
        }
        if ($mode === 'slam' || ($isQuery && $mode === 'close')) {
            return false;
        }
        if ($isQuery && $mode === 'close once') {
            file_put_contents("$this->directory/mode", 'pass');

            return false;
        }
        if ($isQuery && $mode === 'garble') {
            fwrite($pair->client, str_repeat("\x07\x01\x02\x03\x04", 20));

            return true;
        }
        $pair->isCommitting = $isQuery && str_contains($bytes, 'COMMIT');
        if ($pair->isCommitting && $mode === 'close before commit') {
            return false;
        }
        if ($pair->server !== null) {
            fwrite($pair->server, $bytes);
        }

        return true;
    }

    /** Whether the connection goes on. */
    private function fromServer(Pair $pair): bool
    {
        $bytes = fread($pair->server, 65536);
        if ($bytes === '' || $bytes === false || ($pair->isCommitting && $this->mode() === 'close after commit')) {
            return false;
        }
        fwrite($pair->client, $bytes);

        return true;
    }

    private function mode(): string
    {
        return (string) file_get_contents("$this->directory/mode");
    }

    /** @param resource $socket */
    private static function resetAtEnd(mixed $socket): void
    {
        socket_set_option(socket_import_stream($socket), SOL_SOCKET, SO_LINGER, ['l_onoff' => 1, 'l_linger' => 0]);
    }
}

[, $address, $host, $port, $directory] = $argv;
$listener = stream_socket_server("tcp://$address:0");
echo stream_socket_get_name($listener, false), "\n";
(new Server($listener, "tcp://$host:$port", $directory))->run();
