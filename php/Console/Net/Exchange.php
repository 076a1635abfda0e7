<?php

declare(strict_types=1);

namespace HaDsn\Console\Net;

use HaDsn\Console\Text;
use HaDsn\Console\Warnings;

/**
 * A question that is sent to one address, and its answer: a connection that never blocks. {@see Exchanges} drives many of them
 * beside each other.
 *
 * @internal
 */
final class Exchange
{
    private const LARGEST = 1 << 20;

    /** Whether a connection came about. */
    public bool $isConnected = false;

    /** What has been answered so far. */
    public string $answer = '';

    /** Why there is no answer; null while it goes on, and after it went well. */
    public ?string $error = null;

    /** Whether it is TLS that went wrong. */
    public bool $isTlsError = false;

    public bool $isDone = false;

    /** How long it took, in seconds. */
    public float $seconds = 0.0;

    /** By this host's clock, in seconds since 1970. */
    public float $startedAt = 0.0;

    /**
     * The server's certificate, as openssl_x509_parse() tells it.
     *
     * @var array<string, mixed>|null
     */
    public ?array $certificate = null;

    /** @var resource|null */
    private mixed $stream = null;
    private bool $isSecure;
    private string $toSend;
    private int $began = 0;

    /**
     * @param string                    $transport  `tcp` or `udp`
     * @param string                    $ip         an address, IPv6 without brackets
     * @param \Closure(string): bool    $isComplete whether an answer is complete
     * @param array<string, mixed>|null $tls        options of the stream context `ssl`; null: no TLS
     * @param float                     $timeout    for all of it, in seconds
     * @param string|null               $question   asks for TLS, which begins after an answer of a byte that is not complete; null: it begins at once
     */
    public function __construct(
        private readonly string $transport,
        public readonly string $ip,
        private readonly int $port,
        #[\SensitiveParameter]
        string $request,
        private readonly \Closure $isComplete,
        private readonly ?array $tls,
        private readonly float $timeout,
        private ?string $question = null,
    ) {
        $this->toSend = $request;
        $this->isSecure = $tls === null;
    }

    /** It is not even begun. */
    public function refuse(string $reason): void
    {
        $this->error = $reason;
        $this->isDone = true;
    }

    public function start(): void
    {
        $this->began = (int) hrtime(true);
        $this->startedAt = microtime(true);
        $host = str_contains($this->ip, ':') ? "[$this->ip]" : $this->ip;
        $context = stream_context_create(['ssl' => ($this->tls ?? []) + ['capture_peer_cert' => true, 'SNI_enabled' => true]]);
        $code = 0;
        $reason = '';
        [$stream] = Warnings::collect(function () use ($host, $context, &$code, &$reason) {
            return stream_socket_client("$this->transport://$host:$this->port", $code, $reason, $this->timeout, STREAM_CLIENT_CONNECT | STREAM_CLIENT_ASYNC_CONNECT, $context);
        });
        if ($stream === false) {
            $this->fail(self::readable((string) $reason));

            return;
        }
        stream_set_blocking($stream, false);
        $this->stream = $stream;
    }

    /** @return resource what to wait for, until it is done */
    public function stream(): mixed
    {
        return $this->stream ?? throw new \LogicException('it has not begun, or is done');
    }

    public function wantsToWrite(): bool
    {
        return !$this->isConnected || ($this->isSecure ? $this->toSend !== '' : ($this->question ?? '') !== '');
    }

    /** How many seconds are left. */
    public function left(): float
    {
        return $this->timeout - $this->elapsed();
    }

    /** Does what can be done without waiting. */
    public function advance(): void
    {
        if (!$this->isConnected && !$this->connect() || !$this->isSecure && (!$this->isAgreed() || !$this->secure()) || $this->isDone) {
            return;
        }
        if ($this->toSend !== '') {
            $this->send();
        } else {
            $this->receive();
        }
    }

    /** Gives up: time is up. */
    public function expire(): void
    {
        $within = ' within ' . Text::duration($this->timeout);
        $this->fail(match (true) {
            !$this->isConnected => "no connection$within",
            !$this->isSecure && $this->question === null => "no TLS handshake$within",
            $this->answer === '' => ($this->transport === 'udp' ? '' : 'connected, and ') . "no answer$within",
            default => "the answer was not complete$within",
        });
    }

    private function connect(): bool
    {
        $stream = $this->stream();
        if ($this->transport === 'tcp' && stream_socket_get_name($stream, true) === false) {
            // PHP does not tell why; the attempt to write does.
            [, $reason] = Warnings::collect(static fn(): int|false => fwrite($stream, "\0"));
            $this->fail(self::readable($reason));

            return false;
        }
        $this->isConnected = true;

        return true;
    }

    /** Whether TLS may begin: at once, or when the question for it was answered. */
    private function isAgreed(): bool
    {
        if ($this->question === null) {
            return true;
        }
        if ($this->question !== '') {
            [$stream, $question] = [$this->stream(), $this->question];
            // A few bytes on a new connection: they go at once or not at all.
            [$written, $reason] = Warnings::collect(static fn(): int|false => fwrite($stream, $question));
            $this->question = '';
            if ($written !== strlen($question)) {
                $this->fail(self::readable($reason));
            }

            return false;
        }
        $this->receive(1);
        if ($this->isDone || $this->answer === '') {
            return false;
        }
        $this->question = null;

        return true;
    }

    private function secure(): bool
    {
        $stream = $this->stream();
        $method = STREAM_CRYPTO_METHOD_TLSv1_2_CLIENT | STREAM_CRYPTO_METHOD_TLSv1_3_CLIENT;
        [$result, $reason] = Warnings::collect(static fn(): int|bool => stream_socket_enable_crypto($stream, true, $method));
        if ($result === false) {
            $this->isTlsError = true;
            $this->fail($reason === '' ? 'TLS: the connection was closed' : 'TLS: ' . self::readable($reason));
        }
        if ($result === true) {
            $this->isSecure = true;
            /** @var \OpenSSLCertificate|null $certificate */
            $certificate = stream_context_get_options($stream)['ssl']['peer_certificate'] ?? null;
            $parsed = $certificate === null ? false : openssl_x509_parse($certificate);
            $this->certificate = $parsed === false ? null : $parsed;
            if ($this->toSend === '') {
                $this->finish();
            }
        }

        return $result === true;
    }

    private function send(): void
    {
        [$stream, $bytes] = [$this->stream(), $this->toSend];
        [$written, $reason] = Warnings::collect(static fn(): int|false => fwrite($stream, $bytes));
        if (!is_int($written)) {
            $this->fail($reason === '' ? 'the connection was closed' : self::readable($reason));

            return;
        }
        $this->toSend = substr($bytes, $written);
    }

    /** @param int<1, max> $most bytes */
    private function receive(int $most = 65536): void
    {
        $stream = $this->stream();
        [$bytes, $reason] = Warnings::collect(static fn(): string|false => fread($stream, $most));
        if (is_string($bytes)) {
            $this->answer .= $bytes;
        }
        if (($this->isComplete)($this->answer) || strlen($this->answer) > self::LARGEST) {
            $this->finish();
        } elseif ($bytes === false && $reason !== '') {
            $this->fail(self::readable($reason));
        } elseif (feof($stream)) {
            if ($this->answer === '') {
                $this->fail('connected, and the connection was closed without an answer');
            } else {
                $this->finish();
            }
        }
    }

    private function fail(string $reason): void
    {
        $this->error = $reason;
        $this->finish();
    }

    private function finish(): void
    {
        if ($this->stream !== null) {
            fclose($this->stream);
            $this->stream = null;
        }
        $this->isDone = true;
        $this->seconds = $this->elapsed();
    }

    private function elapsed(): float
    {
        return (hrtime(true) - $this->began) / 1e9;
    }

    /** The reason at the end of a warning: `fwrite(): Send of 1 bytes failed with errno=111 Connection refused`. */
    private static function readable(string $warning): string
    {
        if (preg_match('/errno=\d+ ([^;]+)/', $warning, $found) === 1) {
            return lcfirst(Text::line($found[1]));
        }
        $text = (string) preg_replace('/(?:^|; )\w+\(\): /', ' ', $warning);
        $text = (string) preg_replace('/SSL operation failed with code \d+\. OpenSSL Error messages:|error:[0-9A-F]+:|Failed to enable crypto/', '', $text);

        return trim($text) === '' ? 'no connection' : lcfirst(Text::line($text));
    }
}
