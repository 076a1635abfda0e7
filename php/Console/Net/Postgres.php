<?php

declare(strict_types=1);

namespace HaDsn\Console\Net;

use HaDsn\Console\Endpoint;

/**
 * Whether a PostgreSQL server, or a pooler, is at an address: the question for TLS (SSLRequest) is answered before any login.
 *
 * @internal
 */
final class Postgres
{
    private const SSL_REQUEST = "\0\0\0\x08\x04\xD2\x16\x2F";

    /** Whether a certificate is good is libpq's decision, at a login. */
    private const UNCHECKED = ['verify_peer' => false, 'verify_peer_name' => false];

    private function __construct(
        public readonly Endpoint $endpoint,
        /** The address that counts: the one that answered, or the first one. */
        public readonly ?string $ip,
        /** Whether it takes TLS; null if nobody answered. */
        public readonly ?bool $takesTls,
        /** Why it can't be reached. */
        public readonly ?string $error,
        /** Whether somebody took the connection. */
        public readonly bool $isConnected,
        public readonly float $seconds,
        /**
         * Its certificate, as openssl_x509_parse() tells it, if that was asked for and TLS came about.
         *
         * @var array<string, mixed>|null
         */
        public readonly ?array $certificate = null,
    ) {}

    public function isReachable(): bool
    {
        return $this->takesTls !== null;
    }

    /**
     * Knocks at all of them, at the same time.
     *
     * @param array<Endpoint>                    $endpoints
     * @param array<string, list<string>|string> $addresses of their hosts, as {@see Names} finds them
     * @param float                              $timeout   in seconds
     * @param bool                               $isCurious whether it goes on to TLS, to see the certificate, which is not checked
     *
     * @return array<self> with the same keys
     */
    public static function knock(array $endpoints, array $addresses, float $timeout, bool $isCurious = false): array
    {
        $exchanges = $knocked = [];
        foreach ($endpoints as $key => $endpoint) {
            foreach (self::addresses($endpoint, $addresses) as $i => $ip) {
                $exchanges["$key/$i"] = $isCurious
                    ? new Exchange('tcp', $ip, $endpoint->port, '', static fn(string $answer): bool => $answer !== '' && $answer !== 'S', self::UNCHECKED, $timeout, self::SSL_REQUEST)
                    : new Exchange('tcp', $ip, $endpoint->port, self::SSL_REQUEST, static fn(string $answer): bool => $answer !== '', null, $timeout);
            }
        }
        Exchanges::run($exchanges);
        foreach ($endpoints as $key => $endpoint) {
            $best = null;
            foreach (array_keys(self::addresses($endpoint, $addresses)) as $i) {
                $one = self::of($endpoint, $exchanges["$key/$i"]);
                $best = $best === null || !$best->isReachable() && $one->isReachable() ? $one : $best;
            }
            $found = $addresses[$endpoint->host] ?? '';
            $knocked[$key] = $best ?? new self($endpoint, null, null, is_string($found) ? $found : '', false, 0.0);
        }

        return $knocked;
    }

    /**
     * @param array<string, list<string>|string> $addresses
     *
     * @return list<string>
     */
    private static function addresses(Endpoint $endpoint, array $addresses): array
    {
        $found = $addresses[$endpoint->host] ?? [];

        return is_array($found) ? $found : [];
    }

    private static function of(Endpoint $endpoint, Exchange $exchange): self
    {
        $takesTls = match ($exchange->answer[0] ?? '') {
            'S' => true,
            'N', 'E' => false,
            default => null,
        };
        // Whether TLS came about then is another question.
        $error = $takesTls === null ? $exchange->error ?? 'whoever listens there is not PostgreSQL' : null;

        return new self($endpoint, $exchange->ip, $takesTls, $error, $exchange->isConnected, $exchange->seconds, $exchange->certificate);
    }
}
