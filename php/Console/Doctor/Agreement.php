<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Text;

/**
 * Whether the REST APIs speak of one cluster, and of the same leader.
 *
 * @internal
 */
final class Agreement
{
    /** @param list<Api> $apis */
    public static function check(array $apis, Report $report): void
    {
        $scopes = self::groups($apis, static fn(Api $api): ?string => $api->scope());
        $systems = self::groups($apis, static fn(Api $api): ?string => $api->systemIdentifier());
        if (count($scopes) > 1) {
            $report->add(
                'cluster.scope',
                Level::Error,
                'scope',
                'the endpoints belong to different clusters: ' . self::listed($scopes),
                'leave in the source string only the endpoints of the cluster that is meant',
            );
        } elseif (count($systems) > 1) {
            $report->add(
                'cluster.system',
                Level::Error,
                'system identifier',
                'the endpoints serve different databases: ' . self::listed($systems),
                'leave in the source string only the endpoints of one cluster; if this is one, a node was made from other data: patronictl reinit of the one that is no leader',
            );
        }
        // Clusters that have nothing to do with each other can't disagree.
        if (count($scopes) <= 1) {
            $leaders = self::groups($apis, static fn(Api $api): string => $api->leader() ?? 'nobody');
            if (count($leaders) > 1) {
                $report->add(
                    'cluster.disagree',
                    Level::Warning,
                    'leader',
                    'the endpoints name different leaders: ' . self::listed($leaders),
                    'in a failover this passes within seconds; if it stays, see to the DCS of those that are behind',
                );
            }
            // A node may be listed twice, by its name and its address.
            $primaries = self::groups(array_filter($apis, static fn(Api $api): bool => $api->isPrimary()), static fn(Api $api): string => $api->name() ?? (string) $api->endpoint);
            if (count($primaries) > 1) {
                $report->add(
                    'cluster.primaries',
                    Level::Error,
                    self::listed($primaries),
                    'each says that it is the primary',
                    'two servers may take writes: compare their timelines (patronictl list), and stop the one that the DCS does not name',
                );
            }
        }
        foreach ($apis as $api) {
            if ($api->isPaused()) {
                $report->add(
                    'cluster.paused',
                    Level::Warning,
                    'maintenance mode',
                    'Patroni is paused: nobody takes over when the leader fails',
                    'patronictl resume, when the maintenance is over',
                );
                break;
            }
        }
    }

    /**
     * @param array<Api>              $apis
     * @param \Closure(Api): ?string $of
     *
     * @return array<string, list<string>> endpoints by what they say
     */
    private static function groups(array $apis, \Closure $of): array
    {
        $groups = [];
        foreach ($apis as $api) {
            $value = $of($api);
            if ($value !== null) {
                $groups["$value "][] = (string) $api->endpoint;
            }
        }

        return $groups;
    }

    /** @param array<string, list<string>> $groups */
    private static function listed(array $groups): string
    {
        $texts = [];
        foreach ($groups as $value => $endpoints) {
            $texts[] = implode(', ', $endpoints) . ' → ' . Text::safe(rtrim($value));
        }

        return implode('; ', $texts);
    }
}
