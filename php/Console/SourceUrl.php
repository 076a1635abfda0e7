<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * One URL of a source string.
 *
 * @internal
 */
final class SourceUrl
{
    private const PATRONI_PORT = 8008;
    private const POSTGRESQL_PORT = 5432;

    /**
     * @param string         $scheme    `patroni`, `patroni+https+srv`, …
     * @param list<Endpoint> $endpoints of a list of hosts
     * @param string|null    $srvName   where the hosts stand in SRV records: the name to look up
     */
    private function __construct(
        public readonly string $scheme,
        public readonly array $endpoints,
        public readonly ?string $srvName,
    ) {}

    public static function parse(string $scheme, string $hosts): self
    {
        $isPatroni = str_starts_with($scheme, 'patroni');
        if (str_ends_with($scheme, '+srv')) {
            $service = $isPatroni ? '_patroni._tcp' : '_postgresql._tcp';

            return new self($scheme, [], str_starts_with($hosts, '_') ? $hosts : "$service.$hosts");
        }
        $port = $isPatroni ? self::PATRONI_PORT : self::POSTGRESQL_PORT;

        return new self($scheme, array_map(static fn(string $host): Endpoint => Endpoint::parse($host, $port), explode(',', $hosts)), null);
    }

    /** Whether Patroni is asked, not the database servers. */
    public function isPatroni(): bool
    {
        return str_starts_with($this->scheme, 'patroni');
    }

    public function isTls(): bool
    {
        return str_contains($this->scheme, '+https');
    }
}
