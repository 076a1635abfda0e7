<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Tests\Support\Process;

/**
 * A DNS server that answers every question for SRV records with `localhost` and some ports, and names that begin with nx with
 * NXDOMAIN. By UDP the answer is truncated, as a long one would be: by TCP it is whole.
 */
final class FakeDns
{
    private const CODE = <<<'PHP'
        $ports = array_slice($argv, 1);
        $answer = static function (string $query, bool $whole) use ($ports): string {
            $name = substr($query, 12, strpos($query, "\0", 12) - 11);
            $question = $name . substr($query, 12 + strlen($name), 4);
            $type = unpack('n', $query, 12 + strlen($name))[1];
            $isMissing = str_contains($name, "\x02nx");
            $records = '';
            foreach ($type === 33 && $whole && !$isMissing ? $ports : [] as $port) {
                $data = pack('n3', 10, 5, $port) . "\x09localhost\0";
                $records .= "\xC0\x0C" . pack('nnNn', 33, 1, 60, strlen($data)) . $data;
            }
            if ($type === 1 && str_contains($name, "\x09localhost")) {
                $records = "\xC0\x0C" . pack('nnNn', 1, 1, 60, 4) . "\x7F\0\0\x01";
            }
            $flags = 0x8180 | ($isMissing ? 3 : 0) | (!$whole && $type === 33 && !$isMissing ? 0x0200 : 0);
            $count = $records === '' ? 0 : ($type === 1 ? 1 : count($ports));

            return substr($query, 0, 2) . pack('n5', $flags, 1, $count, 0, 0) . $question . $records;
        };
        do {
            $tcp = stream_socket_server('tcp://127.0.0.1:0');
            $address = stream_socket_get_name($tcp, false);
            $udp = stream_socket_server("udp://$address", $code, $reason, STREAM_SERVER_BIND);
        } while ($udp === false);
        echo "$address\n";
        while (true) {
            $read = [STDIN, $tcp, $udp];
            $none = null;
            stream_select($read, $none, $none, 60);
            if (in_array(STDIN, $read, true) && fgets(STDIN) === false) {
                exit;
            }
            if (in_array($udp, $read, true)) {
                $query = stream_socket_recvfrom($udp, 4096, 0, $peer);
                stream_socket_sendto($udp, $answer($query, false), 0, $peer);
            }
            if (in_array($tcp, $read, true)) {
                $socket = stream_socket_accept($tcp, 1);
                $length = unpack('n', fread($socket, 2))[1];
                $text = $answer(fread($socket, $length), true);
                fwrite($socket, pack('n', strlen($text)) . $text);
                fclose($socket);
            }
        }
        PHP;

    public readonly int $port;
    public readonly int $first;
    private readonly Process $process;

    /** @param list<int> $ports */
    public function __construct(array $ports)
    {
        $this->first = $ports[0];
        $this->process = new Process([PHP_BINARY, '-n', '-d', 'display_errors=0', '-r', self::CODE, '--', ...array_map(strval(...), $ports)]);
        $this->port = (int) $this->process->waitFor('~:(\d+)\n~', 20.0)[1];
    }

    public function stop(): void
    {
        $this->process->stop();
    }
}
