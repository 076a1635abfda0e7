<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Tests\Support\Process;

/**
 * A server that answers the question for TLS, goes on to TLS if it has a certificate, and does nothing else.
 */
final class FakePostgres
{
    private const CODE = <<<'PHP'
        $count = 0;
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
                echo 'asked ', ++$count, "\n";
                if (isset($argv[2])) {
                    stream_context_set_option($socket, ['ssl' => ['local_cert' => $argv[2], 'local_pk' => substr($argv[2], 0, -3) . 'key']]);
                    stream_socket_enable_crypto($socket, true, STREAM_CRYPTO_METHOD_TLSv1_2_SERVER | STREAM_CRYPTO_METHOD_TLSv1_3_SERVER);
                }
                fclose($socket);
            }
        }
        PHP;

    public readonly int $port;
    private readonly Process $process;

    /**
     * @param string      $answer      `N` or `S`, or what PostgreSQL would not say
     * @param string|null $certificate a file NAME.pem, with its key in NAME.key
     */
    public function __construct(string $answer, ?string $certificate = null)
    {
        $this->process = new Process([PHP_BINARY, '-n', '-d', 'display_errors=0', '-r', self::CODE, '--', $answer, ...($certificate === null ? [] : [$certificate])]);
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

    /** Whether anybody has asked it anything. */
    public function wasAsked(): bool
    {
        try {
            $this->process->waitFor('/^asked /m', 0.2);

            return true;
        } catch (\RuntimeException) {
            return false;
        }
    }

    public function stop(): void
    {
        $this->process->stop();
    }
}
