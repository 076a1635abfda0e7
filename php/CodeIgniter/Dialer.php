<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Exceptions\DatabaseException;
use HaDsn\ConfigException;
use HaDsn\Connection\Patience;
use HaDsn\Phase;
use HaDsn\Verdict;

/**
 * Connects to where hadsn says that the leader, or a replica, is now, with what a database group adds to that.
 *
 * @internal
 */
final class Dialer
{
    /**
     * @param array<string, mixed> $keywords libpq's, with the group's values; an empty one leaves it to the source
     * @param string               $charset  of the client; '': the server's
     * @param string               $schema   searched first; '': the server's own order
     */
    public function __construct(
        private readonly string $cluster,
        private readonly string $role,
        #[\SensitiveParameter]
        private readonly array $keywords,
        private readonly string $charset,
        private readonly string $schema,
        private readonly bool $isPersistent,
    ) {}

    /**
     * A connection whose server has said that it is what the group asks for.
     *
     * @throws DatabaseException if there is none within `failover_timeout`; the previous one tells why
     */
    public function dial(): Link
    {
        try {
            $this->check();

            return $this->untilConnected();
        } catch (\Throwable $error) {
            log_message('error', 'Error connecting to the database: ' . $error->getMessage());
            throw new DatabaseException('Unable to connect to the database.' . PHP_EOL . $error->getMessage(), 0, $error);
        }
    }

    public static function persistent(): ConfigException
    {
        return new ConfigException('option pConnect: expected false: a connection that is kept leads to a server that may not lead any more');
    }

    private function check(): void
    {
        if ($this->isPersistent) {
            throw self::persistent();
        }
        if (!in_array($this->role, ['writer', 'reader'], true)) {
            throw new ConfigException("option role \"$this->role\": expected writer or reader");
        }
    }

    private function untilConnected(): Link
    {
        $patience = new Patience($this->cluster);
        while (true) {
            try {
                $link = Link::open(\HaDsn::conninfo($this->role, $this->cluster) . $this->conninfo(), $this->setup());
                if ($this->role === 'reader' || !$link->isKnownStandby()) {
                    return $link;
                }
                // A pooler that has not noticed.
                $link->close();
                $failure = Failure::role();
            } catch (Failure $failure) {
            }
            if (\HaDsn::verdict($failure, Phase::Connect, $this->cluster) !== Verdict::Retry || !$patience->waitForFailover()) {
                throw $failure;
            }
        }
    }

    /** What the group says; the last word counts for libpq. */
    private function conninfo(): string
    {
        $text = '';
        foreach ($this->keywords as $keyword => $value) {
            if (is_scalar($value) && (string) $value !== '') {
                $text .= " $keyword='" . addcslashes((string) $value, "'\\") . "'";
            }
        }

        return $text;
    }

    private function setup(): string
    {
        // Not a keyword of the connect: what is wrong with one of those has no SQLSTATE, and might pass.
        return ($this->charset === '' ? '' : "SET client_encoding TO '" . str_replace("'", "''", $this->charset) . "';")
            . ($this->schema === '' ? '' : "SET search_path TO $this->schema,public;");
    }
}
