<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\Connection\Role;

/**
 * What a connection is made for. Laravel makes connections for `read` and for `write` in the same way, so the one that asks says it here.
 *
 * @internal
 */
final class Purpose
{
    private Role $role = Role::Writer;
    private ?string $after = null;

    public function role(): Role
    {
        return $this->role;
    }

    /** A token of HaDsn::position(): what has to be visible on a replica. */
    public function after(): ?string
    {
        return $this->after;
    }

    /**
     * Makes a connection to read from.
     *
     * @param \Closure(): \PDO $connect
     */
    public function reading(?string $after, \Closure $connect): \PDO
    {
        $before = [$this->role, $this->after];
        [$this->role, $this->after] = [Role::Reader, $after ?? $this->after];
        try {
            return $connect();
        } finally {
            [$this->role, $this->after] = $before;
        }
    }
}
