<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Postgre\PreparedQuery as PostgrePreparedQuery;

/** A prepared query that outlives its connection: it is prepared again where it is executed next. */
final class PreparedQuery extends PostgrePreparedQuery
{
    private string $sql = '';

    public function _prepare(string $sql, array $options = []): static
    {
        if (!extension_loaded('hadsn')) {
            parent::_prepare($sql, $options);

            return $this;
        }
        $this->name = 'hadsn_' . bin2hex(random_bytes(8));
        $this->sql = $this->parameterize($sql);
        $this->query->setQuery($this->sql);
        $this->statement = $this->db->prepareStatement($this->name, $this->sql);
        if ($this->statement === false) {
            $this->errorCode = 0;
            $this->errorString = $this->db->error()['message'];
        }

        return $this;
    }

    public function _execute(array $data): bool
    {
        if (!extension_loaded('hadsn')) {
            return parent::_execute($data);
        }
        if ($this->name === null) {
            throw new \BadMethodCallException('You must call prepare before trying to execute a prepared statement.');
        }
        foreach ($data as $key => $value) {
            // From 4.5 on CodeIgniter does so. pg_escape_bytea() would want a connection, and there may be none now.
            if (is_string($value) && method_exists($this, 'isBinary') && $this->isBinary($value)) {
                $data[$key] = '\\x' . bin2hex($value);
            }
        }
        $this->result = $this->db->executeStatement($this->name, $this->sql, $data);

        return $this->result !== false;
    }

    public function close(): bool
    {
        if (!extension_loaded('hadsn')) {
            return (bool) parent::close();
        }
        if ($this->name === null) {
            throw new \BadMethodCallException('Cannot call close on a non-existing prepared statement.');
        }
        $name = $this->name;
        $this->name = $this->statement = null;

        return $this->db->deallocateStatement($name);
    }
}
