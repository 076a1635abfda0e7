<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * One request over HTTP, sent by ext-curl.
 */
final class Request
{
    public readonly \CurlHandle $handle;
    private ?string $cookie = null;

    /** @param string|null $cookie is sent with it: `name=value` */
    public function __construct(string $method, string $url, ?string $cookie = null, float $timeout = 60.0)
    {
        $this->handle = curl_init($url) ?: throw new \RuntimeException('ext-curl makes no handle');
        curl_setopt_array($this->handle, [
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_COOKIE => $cookie,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_PROXY => '',
            // The handle lives until the garbage is collected; its connection need not.
            CURLOPT_FORBID_REUSE => true,
            CURLOPT_TIMEOUT_MS => (int) ($timeout * 1e3),
            CURLOPT_HEADERFUNCTION => function (\CurlHandle $handle, string $line): int {
                if (preg_match('/^Set-Cookie: ([^;\r\n]+)/i', $line, $found) === 1) {
                    $this->cookie = $found[1];
                }

                return strlen($line);
            },
        ]);
    }

    /** Sends it, and waits for the answer. */
    public function send(): Reply
    {
        $body = curl_exec($this->handle);

        return $this->reply(is_string($body) ? $body : curl_error($this->handle));
    }

    /** The answer, when it is there: what came, or why nothing did. */
    public function reply(string $body): Reply
    {
        return new Reply(curl_getinfo($this->handle, CURLINFO_RESPONSE_CODE), $body, $this->cookie);
    }
}
