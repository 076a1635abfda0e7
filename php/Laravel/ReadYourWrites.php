<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\Connection\Handle;
use Illuminate\Database\DatabaseManager;

/**
 * Lets a user's next request see what this one has written, also where it reads from a replica: middleware for routes with a session, behind
 * Laravel's StartSession.
 *
 * The session keeps a position for each connection that has written. Replicas that have not got that far are not read from; if none
 * has, the leader is. Within a request, `'sticky' => true` does the same.
 */
final class ReadYourWrites
{
    private const KEY = 'hadsn.positions';

    public function __construct(private readonly DatabaseManager $db) {}

    /**
     * @param \Illuminate\Http\Request $request
     *
     * @return mixed the response
     */
    public function handle($request, \Closure $next)
    {
        if (!\extension_loaded('hadsn') || !$request->hasSession()) {
            return $next($request);
        }
        $session = $request->session();
        $positions = self::positions($session->get(self::KEY));
        $known = $this->begin($positions);
        try {
            $response = $next($request);
            $written = $this->written($positions);
            if ($written !== []) {
                $session->put(self::KEY, $written + $positions);
            }

            return $response;
        } finally {
            // The next request in this process may be somebody else's.
            foreach ($known as [$connection, $position]) {
                $position === true ? $connection->useWriteConnectionWhenReading(false) : $connection->readAfter(null);
            }
        }
    }

    /**
     * What the session has kept, perhaps for another version of this package.
     *
     * @return array<string, string|true> by the connection's name; true: written, but nobody knows up to where
     */
    private static function positions(mixed $kept): array
    {
        $positions = [];
        foreach (\is_array($kept) ? $kept : [] as $name => $position) {
            $positions[(string) $name] = \is_string($position) && Handle::isPosition($position) ? $position : true;
        }

        return $positions;
    }

    /**
     * @param array<string, string|true> $positions
     *
     * @return list<array{PostgresConnection, string|true}>
     */
    private function begin(array $positions): array
    {
        $known = [];
        foreach ($positions as $name => $position) {
            try {
                $connection = $this->db->connection((string) $name);
            } catch (\InvalidArgumentException|\HaDsn\Exception) {
                // It was in the configuration, or right there, when the session began.
                continue;
            }
            if ($connection instanceof PostgresConnection) {
                $known[] = [$connection, $position];
                $position === true ? $connection->useWriteConnectionWhenReading() : $connection->readAfter($position);
            }
        }

        return $known;
    }

    /**
     * @param array<string, string|true> $before
     *
     * @return array<string, string|true> of the connections that have written
     */
    private function written(array $before): array
    {
        $written = [];
        foreach ($this->db->getConnections() as $connection) {
            if (!$connection instanceof PostgresConnection) {
                continue;
            }
            // Not getName(), which can be that of one side.
            $name = (string) $connection->getConfig('name');
            if ($connection->hasModifiedRecords() || ($before[$name] ?? null) === true) {
                $position = $connection->positionNow() ?? true;
                $written[$name] = $position === true ? $written[$name] ?? true : $position;
            }
        }

        return $written;
    }
}
