<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * A port on which somebody listens, or on which connections are refused. It stays ours either way.
 *
 * @internal
 */
final class Door
{
    private const HOST = '127.0.0.1';

    public readonly int $port;

    /** @var resource has the port too, and never listens: nobody else can get it while the other one is closed */
    private readonly mixed $holder;

    /** @var resource|null */
    private mixed $socket = null;

    /** @param array<int, true> $used ports that must not come again */
    public function __construct(array $used)
    {
        // Those are held until there is another one, so that the system can't give out the same again.
        $refused = [];
        do {
            $holder = self::bind(0, STREAM_SERVER_BIND);
            $port = (int) substr((string) strrchr((string) stream_socket_get_name($holder, false), ':'), 1);
            $refused[] = $holder;
        } while (isset($used[$port]));
        $this->holder = $holder;
        $this->port = $port;
        $this->open();
    }

    /** @return resource|null */
    public function listener(): mixed
    {
        return $this->socket;
    }

    public function accept(): ?Channel
    {
        $socket = $this->socket === null ? false : stream_socket_accept($this->socket, 0);

        return $socket === false ? null : new Channel($socket);
    }

    public function open(): void
    {
        $this->socket ??= self::bind($this->port, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN);
    }

    public function close(): void
    {
        if ($this->socket !== null) {
            fclose($this->socket);
            $this->socket = null;
        }
    }

    /** @return resource */
    private static function bind(int $port, int $flags): mixed
    {
        $socket = stream_socket_server('tcp://' . self::HOST . ":$port", $code, $message, $flags, stream_context_create(['socket' => ['backlog' => 128, 'tcp_nodelay' => true]]));
        if ($socket === false) {
            throw new \RuntimeException('127.0.0.1:' . ($port === 0 ? 'any port' : $port) . ": $message");
        }

        return $socket;
    }
}
