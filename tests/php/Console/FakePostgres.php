<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Tests\Support\Process;

/**
 * A server that answers the question for TLS, and nothing else.
 */
final class FakePostgres
{
    private const CODE = <<<'PHP'
        $listener = stream_socket_server('tcp://127.0.0.1:0');
        echo stream_socket_get_name($listener, false), "\n";
        while (true) {
            $read = [STDIN, $listener];
            $none = null;
            stream_select($read, $none, $none, 60);
            if (in_array(STDIN, $read, true) && fgets(STDIN) === false) {
                exit;
            }
            if (in_array($listener, $read, true)) {
                $socket = stream_socket_accept($listener, 1);
                fread($socket, 8);
                fwrite($socket, $argv[1]);
                fclose($socket);
            }
        }
        PHP;

    public readonly int $port;
    private readonly Process $process;

    /** @param string $answer `N` or `S`, or what PostgreSQL would not say */
    public function __construct(string $answer)
    {
        $this->process = new Process([PHP_BINARY, '-n', '-d', 'display_errors=0', '-r', self::CODE, '--', $answer]);
        $this->port = (int) $this->process->waitFor('~:(\d+)\n~', 20.0)[1];
    }

    /**
     * A member, with this address.
     *
     * @param array<string, mixed> $member
     *
     * @return array<string, mixed>
     */
    public function asMember(array $member): array
    {
        return ['host' => '127.0.0.1', 'port' => $this->port] + $member;
    }

    public function stop(): void
    {
        $this->process->stop();
    }
}
