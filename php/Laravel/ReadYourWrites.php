<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

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
        $positions = $session->get(self::KEY, []);
        $known = $this->begin($positions);
        try {
            $response = $next($request);
            $written = $this->written();
            if ($written !== []) {
                $session->put(self::KEY, $written + $positions);
            }

            return $response;
        } finally {
            // The next request in this process may be somebody else's.
            foreach ($known as $connection) {
                $connection->readAfter(null);
                $connection->useWriteConnectionWhenReading(false);
            }
        }
    }

    /**
     * @param array<string, string|true> $positions
     *
     * @return list<PostgresConnection>
     */
    private function begin(array $positions): array
    {
        $known = [];
        foreach ($positions as $name => $position) {
            try {
                $connection = $this->db->connection($name);
            } catch (\InvalidArgumentException) {
                // It was in the configuration when the session began.
                continue;
            }
            if ($connection instanceof PostgresConnection) {
                $known[] = $connection;
                if ($position === true) {
                    $connection->useWriteConnectionWhenReading();
                } else {
                    $connection->readAfter($position);
                }
            }
        }

        return $known;
    }

    /** @return array<string, string|true> true: written, but nobody knows up to where */
    private function written(): array
    {
        $written = [];
        foreach ($this->db->getConnections() as $connection) {
            if (!$connection instanceof PostgresConnection || !$connection->hasModifiedRecords()) {
                continue;
            }
            try {
                $written[$connection->getName()] = $connection->position();
            } catch (\PDOException|\HaDsn\Exception) {
                $written[$connection->getName()] = true;
            }
        }

        return $written;
    }
}
