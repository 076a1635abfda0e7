<?php

declare(strict_types=1);

namespace HaDsn\Doctrine;

use Doctrine\DBAL\Driver;
use Doctrine\DBAL\Driver\API\ExceptionConverter as DriverExceptionConverter;
use Doctrine\DBAL\Driver\Connection;
use Doctrine\DBAL\Driver\Middleware\AbstractDriverMiddleware;
use Doctrine\DBAL\Driver\PDO\Connection as PdoConnection;
use Doctrine\DBAL\Driver\PDO\Exception;
use HaDsn\ConfigException;
use Psr\Log\LoggerInterface;

/**
 * The driver `pdo_pgsql`, with hadsn where it connects.
 */
final class HaDsnDriver extends AbstractDriverMiddleware
{
    private static bool $hasSaid = false;

    public function __construct(
        private readonly Driver $driver,
        private readonly string $cluster,
        private readonly string $role,
        private readonly ?LoggerInterface $logger,
    ) {
        parent::__construct($driver);
    }

    /**
     * Connects as the middleware says, or as the parameter `hadsn` says: `writer`, `reader`, or an array with the keys `role`, `cluster`,
     * `max_lag` (bytes) and `after` (a token of HaDsn::position()).
     *
     * @param array<string, mixed> $params
     *
     * @throws Exception       if there is no connection within `failover_timeout`, or at once where waiting can't help
     * @throws ConfigException if the parameters can't be used
     */
    public function connect(#[\SensitiveParameter] array $params): Connection
    {
        if (!\extension_loaded('hadsn')) {
            $this->say();

            return $this->driver->connect($params);
        }
        $options = $params['driverOptions'] ?? [];
        if (!empty($params['persistent'])) {
            $options[\PDO::ATTR_PERSISTENT] = true;
        }
        try {
            $pdo = new \PDO($this->dsn($params), $params['user'] ?? null, $params['password'] ?? null, $options);
            // As DBAL's own driver does: poolers know no prepared statements.
            if ($options[\PDO::PGSQL_ATTR_DISABLE_PREPARES] ?? true) {
                $pdo->setAttribute(\PDO::PGSQL_ATTR_DISABLE_PREPARES, true);
            }
            if (isset($params['charset'])) {
                $pdo->exec('SET NAMES ' . $pdo->quote($params['charset']));
            }
        } catch (\PDOException $e) {
            throw Exception::new($e);
        }

        return new PdoConnection($pdo);
    }

    public function getExceptionConverter(): DriverExceptionConverter
    {
        return new ExceptionConverter($this->driver->getExceptionConverter());
    }

    /** @param array<string, mixed> $params */
    private function dsn(#[\SensitiveParameter] array $params): string
    {
        $wanted = $params['hadsn'] ?? [];
        if (!\is_array($wanted)) {
            $wanted = $wanted === true ? [] : ['role' => $wanted];
        }
        $wanted += ['role' => $this->role, 'cluster' => $this->cluster];
        if (isset($params['dbname'])) {
            $wanted['dbname'] = $params['dbname'];
        }
        $pairs = [];
        foreach ($wanted as $key => $value) {
            if ((!\is_string($value) && !\is_int($value)) || str_contains((string) $value, ';')) {
                throw new ConfigException("parameter hadsn, key $key: expected a text without ; or a number");
            }
            $pairs[] = "$key=$value";
        }

        return 'hadsn:' . implode(';', $pairs);
    }

    private function say(): void
    {
        if (self::$hasSaid) {
            return;
        }
        self::$hasSaid = true;
        $this->logger?->notice('the extension hadsn is not loaded: Doctrine connects to the host of its own configuration');
    }
}
