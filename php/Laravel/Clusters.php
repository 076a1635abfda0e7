<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\ConfigException;

/**
 * Tells the extension where the clusters are: what stands in config/hadsn.php, or in the connection itself.
 *
 * @internal
 */
final class Clusters
{
    private const TLS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'];

    /** What libpq does, or less. */
    private const LAX = ['disable', 'allow', 'prefer'];

    /** @param \Closure(): array<string, string|null> $sources by the cluster's name; those that are null are the extension's own business */
    public function __construct(private readonly \Closure $sources) {}

    /**
     * Configures the cluster of a connection, as often as that is asked for: some servers begin a new request in the same process.
     *
     * @throws ConfigException if its source is wrong
     */
    public function prepare(Settings $settings): void
    {
        $source = $settings->source ?? ($this->sources)()[$settings->cluster] ?? null;
        if ($source !== null && $source !== '') {
            \HaDsn::configure($source, $settings->cluster);
        }
    }

    /**
     * Refuses a connection that asks for TLS beside a source that does not: it would be less safe than it looks.
     *
     * @param array<string, mixed> $config of the connection
     *
     * @throws ConfigException
     */
    public function checkTls(Settings $settings, #[\SensitiveParameter] array $config): void
    {
        $source = \HaDsn::status()['clusters'][$settings->cluster]['source'] ?? '';
        foreach (self::TLS as $key) {
            $value = (string) ($config[$key] ?? '');
            if ($value === '' || \in_array($value, self::LAX, true) || preg_match("/[?&]$key=/", $source) === 1) {
                continue;
            }
            throw new ConfigException("connection $settings->connection, $key: it has to stand in the source of the cluster $settings->cluster too: …?$key=" . rawurlencode($value));
        }
    }
}
