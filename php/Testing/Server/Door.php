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
    private bool $isOpen = true;

    /** @var resource */
    private mixed $socket;

    /** @param array<int, true> $used ports that must not come again */
    public function __construct(array $used)
    {
        // Those are held until there is another one, so that the system can't give out the same again.
        $refused = [];
        do {
            $socket = self::bind(0, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN);
            $port = (int) substr((string) strrchr((string) stream_socket_get_name($socket, false), ':'), 1);
            $refused[] = $socket;
        } while (isset($used[$port]));
        $this->socket = $socket;
        $this->port = $port;
    }

    /** @return resource|null */
    public function listener(): mixed
    {
        return $this->isOpen ? $this->socket : null;
    }

    public function accept(): ?Channel
    {
        $socket = $this->isOpen ? stream_socket_accept($this->socket, 0) : false;

        return $socket === false ? null : new Channel($socket);
    }

    public function open(): void
    {
        $this->become(true);
    }

    public function close(): void
    {
        $this->become(false);
    }

    private function become(bool $isOpen): void
    {
        if ($this->isOpen === $isOpen) {
            return;
        }
        fclose($this->socket);
        $this->socket = self::bind($this->port, $isOpen ? STREAM_SERVER_BIND | STREAM_SERVER_LISTEN : STREAM_SERVER_BIND);
        $this->isOpen = $isOpen;
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
