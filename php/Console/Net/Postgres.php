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

    private function __construct(
        public readonly Endpoint $endpoint,
        /** The address that counts: the one that answered, or the first one. */
        public readonly ?string $ip,
        /** Whether it takes TLS; null if nobody answered. */
        public readonly ?bool $takesTls,
        /** Why it can't be reached. */
        public readonly ?string $error,
        public readonly float $seconds,
    ) {}

    public function isReachable(): bool
    {
        return $this->takesTls !== null;
    }

    /**
     * Knocks at all of them, at the same time.
     *
     * @param array<Endpoint> $endpoints
     * @param float           $timeout   for names, and once more for connections, in seconds
     *
     * @return array<self> with the same keys
     */
    public static function knock(array $endpoints, float $timeout): array
    {
        $addresses = Names::resolve(array_values(array_map(static fn(Endpoint $one): string => $one->host, $endpoints)), $timeout);
        $exchanges = [];
        foreach ($endpoints as $key => $endpoint) {
            foreach ($addresses[$endpoint->host] as $i => $ip) {
                $exchanges["$key/$i"] = new Exchange('tcp', $ip, $endpoint->port, self::SSL_REQUEST, static fn(string $answer): bool => $answer !== '', null, $timeout);
            }
        }
        Exchanges::run($exchanges);
        $knocked = [];
        foreach ($endpoints as $key => $endpoint) {
            $best = null;
            foreach (array_keys($addresses[$endpoint->host]) as $i) {
                $one = self::of($endpoint, $exchanges["$key/$i"]);
                $best = $best === null || !$best->isReachable() && $one->isReachable() ? $one : $best;
            }
            $knocked[$key] = $best ?? new self($endpoint, null, null, 'the name has no address', 0.0);
        }

        return $knocked;
    }

    private static function of(Endpoint $endpoint, Exchange $exchange): self
    {
        $takesTls = match ($exchange->answer[0] ?? '') {
            'S' => true,
            'N', 'E' => false,
            default => null,
        };
        $error = $exchange->error ?? ($takesTls === null ? 'whoever listens there is not PostgreSQL' : null);

        return new self($endpoint, $exchange->ip, $error === null ? $takesTls : null, $error, $exchange->seconds);
    }
}
