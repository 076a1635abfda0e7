<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;

/**
 * A REST API that has answered, and what it said.
 *
 * @internal
 */
final class Api
{
    /**
     * @param array<string, mixed>      $cluster GET /cluster
     * @param array<string, mixed>|null $own     GET /patroni
     */
    public function __construct(
        public readonly Endpoint $endpoint,
        private readonly array $cluster,
        private readonly ?array $own,
    ) {}

    /** @return list<array<string, mixed>> */
    public function members(): array
    {
        $members = $this->cluster['members'] ?? [];

        /** @var list<array<string, mixed>> */
        return is_array($members) ? array_values(array_filter($members, is_array(...))) : [];
    }

    public function leader(): ?string
    {
        foreach ($this->members() as $member) {
            if (in_array($member['role'] ?? null, ['leader', 'master', 'standby_leader'], true)) {
                return self::text($member['name'] ?? null);
            }
        }

        return null;
    }

    public function scope(): ?string
    {
        return self::text($this->cluster['scope'] ?? $this->node()['scope'] ?? null);
    }

    /** The name of the member whose API it is. */
    public function name(): ?string
    {
        return self::text($this->node()['name'] ?? null);
    }

    public function version(): ?string
    {
        return self::text($this->node()['version'] ?? null);
    }

    public function systemIdentifier(): ?string
    {
        return self::text($this->own['database_system_identifier'] ?? null);
    }

    /** What it says of itself: `replica, running`. */
    public function ownRole(): string
    {
        return (self::text($this->own['role'] ?? null) ?? 'of unknown role') . ', ' . (self::text($this->own['state'] ?? null) ?? 'in unknown state');
    }

    /** Whether it says of itself that it takes writes. */
    public function isPrimary(): bool
    {
        return in_array($this->own['role'] ?? null, ['primary', 'master', 'leader'], true) && ($this->own['state'] ?? null) === 'running';
    }

    public function isPaused(): bool
    {
        return ($this->cluster['pause'] ?? false) === true;
    }

    /** When the member last reached the DCS, in seconds since 1970 by its own clock. */
    public function dcsLastSeen(): ?int
    {
        $seen = $this->own['dcs_last_seen'] ?? null;

        return is_int($seen) && $seen > 0 ? $seen : null;
    }

    /** @return array<string, mixed> */
    private function node(): array
    {
        $node = $this->own['patroni'] ?? [];

        /** @var array<string, mixed> */
        return is_array($node) ? $node : [];
    }

    private static function text(mixed $value): ?string
    {
        return is_string($value) || is_int($value) ? (string) $value : null;
    }
}
