<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Cluster;
use HaDsn\Topology;

/**
 * Who leads, or why nobody does.
 *
 * @internal
 */
final class Leader
{
    /**
     * @param list<Announcement> $said
     * @param Topology|null      $topology what the extension finds; null if it is not loaded or finds nothing
     */
    public static function check(array $said, ?Topology $topology, Cluster $cluster, Report $report): void
    {
        $roles = array_column($said, 'role');
        $named = array_values(array_filter($said, static fn(Announcement $one): bool => $one->isLeader()))[0]->name ?? null;
        $leader = $topology?->leader;
        if ($topology !== null && $leader !== null) {
            $report->ok('cluster.leader', 'leader', $leader->name . ($topology->timeline === null ? '' : ", timeline $topology->timeline")
                . ', by ' . ($cluster->status()['answered_by'] ?? $topology->source));
        } elseif ($named === null && in_array('standby_leader', $roles, true)) {
            $report->add(
                'cluster.standby',
                Level::Error,
                'leader',
                'this is a standby cluster: nobody in it takes writes',
                'name the sources of the primary cluster, with this one behind it, or promote this one: remove standby_cluster with patronictl edit-config',
            );
        } elseif ($topology !== null) {
            $report->add(
                'cluster.leader',
                Level::Error,
                'leader',
                'nobody leads' . ($named === null ? '' : ' that hadsn believes') . ': ' . ($cluster->whyNobodyLeads() ?? 'there was nobody a moment ago'),
                $named === null
                    ? 'in a failover wait for ttl (30 s by default); otherwise see patronictl list, and the DCS'
                    : 'in a failover this passes within seconds; otherwise see that its own REST API can be asked and says that it is a running primary; docs/leader.md tells whom hadsn believes',
            );
        } elseif ($named !== null) {
            $report->ok('cluster.leader', 'leader', "$named, by Patroni's word");
        } elseif (array_filter($roles) !== []) {
            $report->add(
                'cluster.leader',
                Level::Error,
                'leader',
                'nobody leads, by Patroni\'s word',
                'in a failover wait for ttl (30 s by default); otherwise see patronictl list, and the DCS',
            );
        }
    }
}
