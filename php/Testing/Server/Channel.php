<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * A socket that is never waited for: what can't be written yet is kept.
 *
 * @internal
 */
final class Channel
{
    public string $in = '';
    private string $out = '';
    private bool $isEnding = false;
    private bool $isOver = false;

    /** @param resource $socket */
    public function __construct(public readonly mixed $socket)
    {
        stream_set_blocking($socket, false);
    }

    /** Puts what has come behind `$in`; false: the other side has ended. */
    public function receive(): bool
    {
        $bytes = fread($this->socket, 65536);
        if ($bytes === '' || $bytes === false) {
            return !feof($this->socket);
        }
        $this->in .= $bytes;

        return true;
    }

    public function send(string $bytes): void
    {
        if (!$this->isEnding) {
            $this->out .= $bytes;
            $this->flush();
        }
    }

    /** Says nothing more, once all is written. The other side can go on until it closes. */
    public function end(): void
    {
        $this->isEnding = true;
        $this->flush();
    }

    public function isEnding(): bool
    {
        return $this->isEnding;
    }

    public function wantsToWrite(): bool
    {
        return $this->out !== '' && !$this->isOver;
    }

    public function flush(): void
    {
        while ($this->out !== '' && !$this->isOver) {
            $written = fwrite($this->socket, $this->out);
            if ($written === false) {
                // The other side is gone, which reading will tell.
                $this->isOver = true;
            }
            if ($written === false || $written === 0) {
                return;
            }
            $this->out = substr($this->out, $written);
        }
        if ($this->isEnding && !$this->isOver) {
            $this->isOver = true;
            stream_socket_shutdown($this->socket, STREAM_SHUT_WR);
        }
    }

    public function close(): void
    {
        if (is_resource($this->socket)) {
            fclose($this->socket);
        }
        $this->isEnding = $this->isOver = true;
    }
}
