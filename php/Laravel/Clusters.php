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
}
