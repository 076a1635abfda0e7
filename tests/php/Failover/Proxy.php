<?php

declare(strict_types=1);

namespace HaDsn\Tests\Failover;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Process;

/**
 * A network that breaks when it is told to: passes bytes on between PHP and a server, and reads enough of them to know a COMMIT.
 */
final class Proxy
{
    public const HOST = '127.0.0.41';

    /** Everything goes through. */
    public const PASS = 'pass';

    /** The next query ends the connection, and does not reach the server. */
    public const CLOSE = 'close';

    /** The same for one query; then everything goes through. */
    public const CLOSE_ONCE = 'close once';

    /** The next query ends the connection with a reset. */
    public const RESET = 'reset';

    /** The next query is answered with bytes that mean nothing. */
    public const GARBLE = 'garble';

    /** COMMIT ends the connection, and does not reach the server. */
    public const CLOSE_BEFORE_COMMIT = 'close before commit';

    /** COMMIT reaches the server, and its answer ends the connection. */
    public const CLOSE_AFTER_COMMIT = 'close after commit';

    /** Who connects gets no answer. */
    public const SILENCE = 'silence';

    /** Who connects is disconnected as soon as it has said something. */
    public const SLAM = 'slam';

    /** The same, with a reset. */
    public const SLAM_WITH_RESET = 'slam with reset';

    public readonly int $port;
    private readonly Directory $directory;
    private readonly Process $process;

    public function __construct(string $host, int $port, string $mode = self::PASS)
    {
        $this->directory = new Directory();
        $this->will($mode);
        $this->process = new Process([PHP_BINARY, __DIR__ . '/proxy.php', self::HOST, $host, (string) $port, $this->directory->path]);
        $this->port = (int) $this->process->waitFor('~:(\d+)\n~', 20.0)[1];
    }

    /** From now on it does this. */
    public function will(string $mode): void
    {
        // A file is never seen half written.
        rename($this->directory->write('next', $mode), "{$this->directory->path}/mode");
    }

    public function stop(): void
    {
        $this->process->stop();
    }
}
