<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * Members of a cluster, as Patroni describes them. The addresses are of this machine, and nobody listens there.
 */
final class Nodes
{
    /**
     * @param array<string, mixed> $more in addition, or instead; null takes a key away
     *
     * @return array<string, mixed>
     */
    public static function leader(string $name = 'pg1', string $host = '127.0.2.1', array $more = []): array
    {
        return self::member($name, $host, $more + ['role' => 'leader', 'state' => 'running']);
    }

    /**
     * @param array<string, mixed> $more
     *
     * @return array<string, mixed>
     */
    public static function replica(string $name = 'pg2', string $host = '127.0.2.2', array $more = []): array
    {
        return self::member($name, $host, $more + ['role' => 'replica', 'state' => 'streaming', 'lag' => 0]);
    }

    /**
     * A leader and two replicas.
     *
     * @return list<array<string, mixed>>
     */
    public static function healthy(): array
    {
        return [self::leader(), self::replica(), self::replica('pg3', '127.0.2.3')];
    }

    /**
     * @param array<string, mixed> $more
     *
     * @return array<string, mixed>
     */
    private static function member(string $name, string $host, array $more): array
    {
        $member = $more + [
            'name' => $name,
            'api_url' => "http://$host:8008/patroni",
            'host' => $host,
            'port' => 5432,
            'timeline' => 3,
        ];

        return array_filter($member, static fn(mixed $value): bool => $value !== null);
    }
}
