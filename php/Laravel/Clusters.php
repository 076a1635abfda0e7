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
    /** @var array<string, true> the clusters in whose place a test has its own, by name */
    private static array $replaced = [];

    /** @param \Closure(): array<string, string|null> $sources by the cluster's name; those that are null are the extension's own business */
    public function __construct(private readonly \Closure $sources) {}

    /** A test has told the extension of another cluster of this name: what config/hadsn.php says does not count. */
    public static function replace(string $cluster): void
    {
        self::$replaced[$cluster] = true;
    }

    /** What config/hadsn.php says counts again. */
    public static function restore(string $cluster): void
    {
        unset(self::$replaced[$cluster]);
    }

    /**
     * Configures the cluster of a connection, as often as that is asked for: some servers begin a new request in the same process.
     *
     * @throws ConfigException if its source is wrong
     */
    public function prepare(Settings $settings): void
    {
        if ($settings->source === null && isset(self::$replaced[$settings->cluster])) {
            return;
        }
        $source = $settings->source ?? ($this->sources)()[$settings->cluster] ?? null;
        if ($source !== null && $source !== '') {
            \HaDsn::configure($source, $settings->cluster);
        }
    }
}
