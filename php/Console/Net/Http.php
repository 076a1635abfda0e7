<?php

declare(strict_types=1);

namespace HaDsn\Console\Net;

use HaDsn\Console\Endpoint;

/**
 * Questions to a REST API, and what is in an answer (RFC 9112).
 *
 * @internal
 */
final class Http
{
    /**
     * @param array<string, string> $headers by name in lower case
     */
    private function __construct(
        public readonly int $status,
        public readonly array $headers,
        public readonly string $body,
    ) {}

    /**
     * @param string|null               $authorization `user:password`
     * @param array<string, mixed>|null $tls
     */
    public static function get(
        Endpoint $endpoint,
        string $ip,
        string $path,
        #[\SensitiveParameter]
        ?string $authorization,
        ?array $tls,
        float $timeout,
    ): Exchange {
        $request = "GET $path HTTP/1.1\r\nHost: $endpoint\r\nAccept: application/json\r\nUser-Agent: hadsn-doctor\r\nConnection: close\r\n"
            . ($authorization === null ? '' : 'Authorization: Basic ' . base64_encode($authorization) . "\r\n") . "\r\n";
        $tls = $tls === null ? null : $tls + ['peer_name' => $endpoint->host];

        return new Exchange('tcp', $ip, $endpoint->port, $request, self::isComplete(...), $tls, $timeout);
    }

    /** Null if it is not HTTP. */
    public static function parse(string $answer): ?self
    {
        [$head, $body] = explode("\r\n\r\n", $answer, 2) + [1 => null];
        if ($body === null || preg_match('~^HTTP/1\.[01] ([1-5][0-9]{2})~', $head, $found) !== 1) {
            return null;
        }
        $headers = [];
        foreach (array_slice(explode("\r\n", $head), 1) as $line) {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            $headers[strtolower(trim($name))] = trim($value);
        }
        if (strtolower($headers['transfer-encoding'] ?? '') === 'chunked') {
            $body = self::join($body);
        } elseif (preg_match('/^[0-9]{1,9}$/D', $headers['content-length'] ?? '') === 1) {
            $body = substr($body, 0, (int) $headers['content-length']);
        }

        return new self((int) $found[1], $headers, $body);
    }

    /**
     * The body as a JSON object; null if it is none.
     *
     * @return array<string, mixed>|null
     */
    public function json(): ?array
    {
        $value = json_decode($this->body, true, 64);

        /** @var array<string, mixed>|null */
        return is_array($value) && !array_is_list($value) ? $value : null;
    }

    private static function isComplete(string $answer): bool
    {
        $end = strpos($answer, "\r\n\r\n");
        if ($end === false) {
            return false;
        }
        $head = substr($answer, 0, $end);
        if (preg_match('/^content-length:[ \t]*(\d{1,9})[ \t]*\r?$/mi', $head, $found) === 1) {
            return strlen($answer) >= $end + 4 + (int) $found[1];
        }

        return stripos($head, "\r\ntransfer-encoding: chunked") !== false && str_ends_with($answer, "\r\n0\r\n\r\n");
    }

    private static function join(string $chunks): string
    {
        $out = '';
        $at = 0;
        while (preg_match('/\G([0-9A-Fa-f]{1,7})[^\r\n]*\r\n/', $chunks, $found, 0, $at) === 1 && ($size = (int) hexdec($found[1])) > 0) {
            $at += strlen($found[0]);
            $out .= substr($chunks, $at, $size);
            $at += $size + 2;
        }

        return $out;
    }
}
