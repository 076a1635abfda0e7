<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\ConfigException;
use HaDsn\Connection\Role;

/**
 * What the key `hadsn` of a connection in config/database.php asks for.
 *
 *     'hadsn' => true,                                    // the cluster `default`
 *     'hadsn' => 'orders',                                // another one
 *     'hadsn' => 'patroni://10.0.0.1,10.0.0.2/app',       // a source, here and now
 *     'hadsn' => ['cluster' => 'orders', 'role' => 'reader', 'max_lag' => 65536],
 *
 * @internal
 */
final class Settings
{
    private const KEYS = ['cluster', 'source', 'role', 'max_lag'];

    /**
     * @param string      $connection the connection's name, for messages
     * @param string|null $source     the source string, if it stands here
     * @param Role|null   $role       what the connection is for, whatever it is used for
     * @param int|null    $maxLag     in bytes
     */
    private function __construct(
        public readonly string $connection,
        public readonly string $cluster,
        #[\SensitiveParameter]
        public readonly ?string $source = null,
        public readonly ?Role $role = null,
        public readonly ?int $maxLag = null,
    ) {}

    /**
     * Whether a connection asks for hadsn, rightly or not.
     *
     * @param array<mixed> $config of the connection
     */
    public static function isWanted(#[\SensitiveParameter] array $config): bool
    {
        return !\in_array($config['hadsn'] ?? false, [false, '', []], true);
    }

    /**
     * Null: the connection does not ask for hadsn.
     *
     * @param array<mixed> $config of the connection
     *
     * @throws ConfigException if it asks for something that there is not
     */
    public static function of(#[\SensitiveParameter] array $config): ?self
    {
        if (!self::isWanted($config)) {
            return null;
        }
        $wanted = $config['hadsn'];
        $connection = (string) ($config['name'] ?? $config['driver'] ?? 'pgsql');

        return match (true) {
            $wanted === true => new self($connection, 'default'),
            \is_string($wanted) => self::named($connection, $wanted),
            \is_array($wanted) => self::listed($connection, $wanted),
            default => throw self::unknown($connection),
        };
    }

    private static function named(string $connection, #[\SensitiveParameter] string $text): self
    {
        return str_contains($text, '://')
            ? new self($connection, self::clusterOf($connection), $text)
            : new self($connection, self::name($connection, $text));
    }

    /** @param array<mixed> $wanted */
    private static function listed(string $connection, #[\SensitiveParameter] array $wanted): self
    {
        foreach (array_diff(array_keys($wanted), self::KEYS) as $key) {
            throw new ConfigException("connection $connection, hadsn: unknown key $key: expected " . implode(', ', self::KEYS));
        }
        $source = $wanted['source'] ?? null;
        $role = $wanted['role'] ?? null;
        $maxLag = $wanted['max_lag'] ?? null;
        if ($source !== null && !\is_string($source)) {
            throw self::unknown($connection);
        }
        if ($maxLag !== null && (!\is_int($maxLag) || $maxLag < 0)) {
            throw new ConfigException("connection $connection, hadsn, max_lag: expected a number of bytes");
        }

        return new self(
            $connection,
            isset($wanted['cluster']) ? self::name($connection, $wanted['cluster']) : ($source === null ? 'default' : self::clusterOf($connection)),
            $source,
            $role === null ? null : (Role::tryFrom((string) $role)
                ?? throw new ConfigException("connection $connection, hadsn, role: expected writer or reader")),
            $maxLag,
        );
    }

    private static function name(string $connection, mixed $name): string
    {
        return \is_string($name) && preg_match('/^[a-z][a-z0-9_]*$/D', $name) === 1 ? $name : throw self::unknown($connection);
    }

    /** A source that has no name gets one from its connection. */
    private static function clusterOf(string $connection): string
    {
        if (preg_match('/^[a-z0-9_]+$/D', $connection) === 1 && !str_ends_with("_$connection", '_file')) {
            return "laravel_$connection";
        }

        return 'laravel_' . preg_replace('/[^a-z0-9]+/', '_', strtolower($connection)) . '_' . hash('crc32b', $connection);
    }

    private static function unknown(string $connection): ConfigException
    {
        return new ConfigException("connection $connection, hadsn: expected true, the name of a cluster, a source string, or an array");
    }
}
