<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter\Config;

/**
 * Adds the connection groups `hadsn` (the leader) and `hadsn_reader` (a replica) to the application's `Config\Database`, and
 * leaves the others and `$defaultGroup` alone. CodeIgniter finds it by its place.
 *
 * What the application says of these groups itself, in `Config\Database` or in `.env`, wins.
 */
final class Registrar
{
    private const GROUP = [
        'DSN' => '',
        // Without the extension they count; with it they are not looked at.
        'hostname' => 'localhost',
        'port' => '5432',
        // Empty: as in the source (`HADSN_URL`).
        'username' => '',
        'password' => '',
        'database' => '',
        'DBDriver' => 'HaDsn\CodeIgniter',
        'DBPrefix' => '',
        'pConnect' => false,
        // Errors are exceptions, in production too: without them a failover looks like success.
        'DBDebug' => true,
        'charset' => 'utf8',
        'DBCollat' => '',
        'swapPre' => '',
        'encrypt' => false,
        'compress' => false,
        'strictOn' => false,
        'failover' => [],
        'schema' => 'public',
        'hadsn' => 'default',
        'role' => 'writer',
    ];

    /** @return array<string, array<string, mixed>> */
    public static function Database(): array
    {
        $own = class_exists(\Config\Database::class) ? get_class_vars(\Config\Database::class) : [];

        return [
            'hadsn' => [...self::GROUP, ...(array) ($own['hadsn'] ?? [])],
            'hadsn_reader' => [...self::GROUP, 'role' => 'reader', ...(array) ($own['hadsn_reader'] ?? [])],
        ];
    }
}
