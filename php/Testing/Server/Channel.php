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
    /** How much is read at a time, and how much may wait to be written before nobody should add to it, in bytes. */
    private const CHUNK = 1 << 18;

    private string $in = '';

    /** Up to where `$in` has been taken. */
    private int $at = 0;
    private string $out = '';

    /** Up to where `$out` has been written. */
    private int $written = 0;
    private bool $isEnding = false;
    private bool $isOver = false;

    /** @param resource $socket */
    public function __construct(public readonly mixed $socket)
    {
        stream_set_blocking($socket, false);
        stream_set_chunk_size($socket, self::CHUNK);
    }

    /** Takes in what has come; false: the other side has ended. */
    public function receive(): bool
    {
        $bytes = fread($this->socket, self::CHUNK);
        if ($bytes === '' || $bytes === false) {
            return !feof($this->socket);
        }
        if ($this->at > 0) {
            $this->in = substr($this->in, $this->at);
            $this->at = 0;
        }
        $this->in .= $bytes;

        return true;
    }

    /** What has come and was not taken. */
    public function pending(): string
    {
        return $this->at === 0 ? $this->in : substr($this->in, $this->at);
    }

    /**
     * Takes a whole message, when it is there.
     *
     * @param int $type how many bytes stand before its length, which counts itself and what follows: none in a client's first message
     */
    public function take(int $type): ?string
    {
        $rest = strlen($this->in) - $this->at;
        if ($rest < ($type === 0 ? 8 : 5)) {
            return null;
        }
        $length = $type + max($type === 0 ? 8 : 4, Wire::number($this->in, $this->at + $type));
        if ($rest < $length) {
            return null;
        }
        $message = substr($this->in, $this->at, $length);
        $this->at += $length;

        return $message;
    }

    /** Is written by {@see flush()}, which the loop calls when it is time. */
    public function send(string $bytes): void
    {
        if (!$this->isEnding) {
            $this->out .= $bytes;
        }
    }

    /** Says nothing more, once all is written. The other side can go on until it closes. */
    public function end(): void
    {
        $this->isEnding = true;
        $this->flush();
    }

    public function wantsToWrite(): bool
    {
        return $this->out !== '' && !$this->isOver;
    }

    /** So much waits to be written that nothing should be added. */
    public function isFull(): bool
    {
        return strlen($this->out) - $this->written > self::CHUNK && !$this->isOver;
    }

    public function flush(): void
    {
        while ($this->wantsToWrite()) {
            $written = fwrite($this->socket, substr($this->out, $this->written, self::CHUNK));
            if ($written === false) {
                // The other side is gone, which reading will tell.
                $this->isOver = true;
            }
            if ($written === false || $written === 0) {
                return;
            }
            $this->written += $written;
            // Not each time: of something large all the rest would be copied each time.
            if ($this->written > strlen($this->out) / 2) {
                $this->out = substr($this->out, $this->written);
                $this->written = 0;
            }
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
