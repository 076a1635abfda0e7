<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * Puts a statement in such words that the server behind answers as the member would.
 *
 * @internal
 */
final class Disguise
{
    public static function of(string $sql, Node $node, Cluster $cluster): string
    {
        $timeline = sprintf('%08X', $cluster->timeline());
        $replayed = 'pg_catalog.pg_current_wal_insert_lsn()';
        if ($node->lag > 0) {
            $replayed = "($replayed - {$node->lag}::numeric)";
        }
        $rules = [
            '~\b(?:pg_catalog\.)?pg_walfile_name\s*\(((?:[^()]|\([^()]*\))*)\)~i' => "overlay(pg_catalog.pg_walfile_name($1) placing '$timeline' from 1)",
            '~\bsystem_identifier(\s+FROM\s+(?:pg_catalog\.)?pg_control_system)~i' => "{$cluster->system}::bigint AS system_identifier$1",
        ];
        if (!$cluster->leads($node)) {
            $rules += [
                '~^\s*SELECT\s+pg_is_in_recovery\s*\(\s*\)\s*;?\s*$~i' => 'SELECT true AS pg_is_in_recovery',
                '~\b(?:pg_catalog\.)?pg_is_in_recovery\s*\(\s*\)~i' => 'true',
                '~\b(?:pg_catalog\.)?pg_last_wal_replay_lsn\s*\(\s*\)~i' => $replayed,
                '~\btimeline_id(\s+FROM\s+(?:pg_catalog\.)?pg_control_checkpoint)~i' => "{$cluster->timeline()}$1",
            ];
        }

        // What is too long or too deep for a regular expression stays as it is.
        return preg_replace(array_keys($rules), array_values($rules), $sql) ?? $sql;
    }

    private function __construct() {}
}
