<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * One URL of a source string, in its parts (RFC 3986).
 *
 * @internal
 */
final class SourceUrl
{
    private const PATRONI_PORT = 8008;
    private const POSTGRESQL_PORT = 5432;

    /** A raw @, / or ? in a password moves the borders between the parts: such a text matches nothing. */
    private const PARTS = '~^
        (?<scheme> (?: patroni (?: \+https )? | postgresql ) (?: \+srv )? ) ://
        (?: (?<userinfo> [^@/?\#]++ ) @ )?
        (?<hosts> (?<host> (?: [\w.-]++ | \[ [0-9A-Fa-f:.]++ \] ) (?: : [0-9]{1,5} )? ) (?: , (?&host) )*+ )
        (?: / (?<database> [^@/?\#]*+ ) )?
        (?: \? (?<query> (?: [^@\#&=]++ = [^@\#&]*+ (?: & | $ ) )*+ ) )?
        $~xD';

    private function __construct(
        /** `patroni`, `patroni+https+srv`, … */
        public readonly string $scheme,
        /** The hosts as they stand there. */
        public readonly string $hosts,
        #[\SensitiveParameter]
        public readonly ?string $userinfo,
        public readonly string $database,
        #[\SensitiveParameter]
        public readonly string $query,
    ) {}

    /** Null if it is none. */
    public static function parse(#[\SensitiveParameter] string $text): ?self
    {
        if (preg_match(self::PARTS, $text, $found, PREG_UNMATCHED_AS_NULL) !== 1) {
            return null;
        }

        return new self($found['scheme'], $found['hosts'], $found['userinfo'], $found['database'] ?? '', $found['query'] ?? '');
    }

    /**
     * The hosts, if they are listed.
     *
     * @return list<Endpoint>
     */
    public function endpoints(): array
    {
        $port = $this->isPatroni() ? self::PATRONI_PORT : self::POSTGRESQL_PORT;

        return $this->isSrv() ? [] : array_map(static fn(string $host): Endpoint => Endpoint::parse($host, $port), explode(',', $this->hosts));
    }

    /** Where the hosts stand in SRV records: the name to look up. */
    public function srvName(): ?string
    {
        if (!$this->isSrv()) {
            return null;
        }
        $service = $this->isPatroni() ? '_patroni._tcp' : '_postgresql._tcp';

        return str_starts_with($this->hosts, '_') ? $this->hosts : "$service.$this->hosts";
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

    private function isSrv(): bool
    {
        return str_ends_with($this->scheme, '+srv');
    }
}
