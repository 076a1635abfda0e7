<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * Ports of this machine.
 */
final class Loopback
{
    /** An address with a port on which nobody listens: `127.0.0.1:40123`. */
    public static function free(string $host = '127.0.0.1'): string
    {
        $socket = stream_socket_server("tcp://$host:0");
        $address = (string) stream_socket_get_name($socket, false);
        fclose($socket);

        return $address;
    }

    /** Whether somebody listens there. */
    public static function accepts(string $address): bool
    {
        set_error_handler(static fn(): bool => true);
        try {
            $socket = stream_socket_client("tcp://$address", timeout: 1.0);
        } finally {
            restore_error_handler();
        }
        if ($socket === false) {
            return false;
        }
        fclose($socket);

        return true;
    }
}
