<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * What a {@see FakePatroni} does with a request.
 */
final class Answer
{
    private function __construct(
        private readonly string $bytes,
        private readonly ?float $delay = 0.0,
        private readonly float $interval = 0.0,
        private readonly bool $hold = false,
        private readonly bool $slam = false,
    ) {}

    /**
     * A cluster of these members, as Patroni describes it.
     *
     * @param array<string, mixed> ...$members
     */
    public static function members(array ...$members): self
    {
        return self::json(['members' => $members, 'scope' => 'app']);
    }

    public static function json(mixed $value): self
    {
        return self::body(json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION, 4096));
    }

    /** Status 200 with this text. */
    public static function body(string $body, string $type = 'application/json'): self
    {
        return self::status(200, ['Content-Type' => $type], $body);
    }

    /** @param array<string, string> $headers */
    public static function status(int $status, array $headers = [], string $body = ''): self
    {
        $headers += ['Content-Length' => (string) strlen($body), 'Connection' => 'close'];
        $head = "HTTP/1.1 $status Whatever\r\n";
        foreach ($headers as $name => $value) {
            $head .= "$name: $value\r\n";
        }

        return new self("$head\r\n$body");
    }

    /** These bytes, and the end of the connection. */
    public static function raw(string $bytes): self
    {
        return new self($bytes);
    }

    public static function redirect(string $to, int $status = 302): self
    {
        return self::status($status, ['Location' => $to]);
    }

    /** Takes the request and says nothing. */
    public static function silence(): self
    {
        return new self('', delay: null);
    }

    /** Closes as soon as somebody connects. */
    public static function slam(): self
    {
        return new self('', slam: true);
    }

    /** A good answer, a byte a second. */
    public static function drip(): self
    {
        return new self(self::members(...Nodes::healthy())->bytes, interval: 1.0);
    }

    /** The head and the first byte of a good answer, and then nothing. */
    public static function stall(): self
    {
        [$head] = explode("\r\n\r\n", self::members(...Nodes::healthy())->bytes, 2);

        return new self("$head\r\n\r\n{", hold: true);
    }

    /** A good answer whose second half does not come: the connection ends. */
    public static function truncated(): self
    {
        $whole = self::members(...Nodes::healthy())->bytes;

        return new self(substr($whole, 0, -100));
    }

    /** The same answer, after some seconds. */
    public function after(float $seconds): self
    {
        return new self($this->bytes, $seconds, $this->interval, $this->hold, $this->slam);
    }

    /**
     * For the process that plays it.
     *
     * @return array{bytes: string, delay: float|null, interval: float, hold: bool, slam: bool}
     */
    public function toArray(): array
    {
        return get_object_vars($this);
    }
}
