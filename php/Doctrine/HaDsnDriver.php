<?php

declare(strict_types=1);

namespace HaDsn\Doctrine;

use Doctrine\DBAL\Driver;
use Doctrine\DBAL\Driver\API\ExceptionConverter as DriverExceptionConverter;
use Doctrine\DBAL\Driver\Connection;
use Doctrine\DBAL\Driver\Middleware\AbstractDriverMiddleware;
use Doctrine\DBAL\Driver\PDO\Connection as PdoConnection;
use Doctrine\DBAL\Driver\PDO\Exception;
use Doctrine\DBAL\Driver\PDO\PgSQL\Driver as PgSqlDriver;
use HaDsn\ConfigException;
use HaDsn\Connection\Dsn;
use HaDsn\Connection\Role;
use Psr\Log\LoggerInterface;

/**
 * The driver `pdo_pgsql`, with hadsn where it connects.
 */
final class HaDsnDriver extends AbstractDriverMiddleware
{
    /** In front of a key in messages. */
    private const WHERE = 'parameter ';

    private static bool $hasSaid = false;

    private readonly Memory $memory;

    public function __construct(
        private readonly Driver $driver,
        private readonly string $cluster,
        private readonly string $role,
        private readonly ?LoggerInterface $logger,
    ) {
        parent::__construct($driver);
        $this->memory = new Memory();
    }

    /**
     * Connects as the middleware says, or as the parameter `hadsn` says: `writer`, `reader`, or an array with the keys `role`, `cluster`,
     * `max_lag` (bytes) and `after` (a token of HaDsn::position()). With `false`, it is Doctrine's own driver that connects.
     *
     * `host` and `port` are not used. `sslmode` and its like have to stand in the source of the cluster.
     *
     * @param array<string, mixed> $params
     *
     * @throws Exception       if there is no connection within `failover_timeout`, or at once where waiting can't help
     * @throws ConfigException if the parameters can't be used, or the driver is another one
     */
    public function connect(#[\SensitiveParameter] array $params): Connection
    {
        $isWanted = ($params['hadsn'] ?? true) !== false;
        if (!$isWanted || !\extension_loaded('hadsn')) {
            if ($isWanted) {
                $this->say();
            }

            return $this->driver->connect($params);
        }
        if (!$this->driver instanceof PgSqlDriver) {
            throw new ConfigException('the middleware of hadsn connects in place of the driver pdo_pgsql, and was given ' . get_debug_type($this->driver)
                . ": give it to connections of pdo_pgsql alone, and in front of other middlewares (in Symfony: 'connection' and 'priority' of its tag)");
        }
        if ($this->memory->isHeld()) {
            throw Exception::new(self::lost());
        }

        return $this->open($params);
    }

    public function getExceptionConverter(): DriverExceptionConverter
    {
        return new ExceptionConverter($this->driver->getExceptionConverter(), $this->memory);
    }

    /** @param array<string, mixed> $params */
    private function open(#[\SensitiveParameter] array $params): Connection
    {
        $parts = $this->parts($params);
        $dsn = Dsn::of($parts, self::WHERE);
        Dsn::checkTls((string) $parts['cluster'], $params, self::WHERE);
        $user = self::text($params, 'user');
        $password = self::text($params, 'password');
        $applicationName = self::text($params, 'application_name');
        $charset = self::text($params, 'charset');

        /** @var array<int, mixed> $options */
        $options = $params['driverOptions'] ?? [];
        if (!empty($params['persistent'])) {
            $options[\PDO::ATTR_PERSISTENT] = true;
        }
        try {
            $pdo = self::pdo($dsn, $user, $password, $options);
        } catch (\PDOException $e) {
            throw Exception::new($e);
        }
        $connection = new PdoConnection($pdo);
        $session = [];
        if ($charset !== null) {
            $session[] = 'SET NAMES ' . $pdo->quote($charset);
        }
        if ($applicationName !== null) {
            $session[] = 'SET application_name TO ' . $pdo->quote($applicationName);
        }
        if ($session !== []) {
            $connection->exec(implode('; ', $session));
        }
        $this->memory->keep($pdo, (string) $parts['cluster'], (string) $parts['role']);

        return $connection;
    }

    /** @param array<int, mixed> $options */
    private static function pdo(string $dsn, ?string $user, #[\SensitiveParameter] ?string $password, array $options): \PDO
    {
        // The class that DBAL's own driver gives, and the name that PHP 8.5 wants.
        $isNew = \PHP_VERSION_ID >= 80400;
        $pdo = $isNew ? \PDO::connect($dsn, $user, $password, $options) : new \PDO($dsn, $user, $password, $options);
        $disablePrepares = $isNew ? \Pdo\Pgsql::ATTR_DISABLE_PREPARES : \PDO::PGSQL_ATTR_DISABLE_PREPARES;
        // As DBAL's own driver does: poolers know no prepared statements.
        if (($options[$disablePrepares] ?? true) === true) {
            $pdo->setAttribute($disablePrepares, true);
        }

        return $pdo;
    }

    /**
     * Those of the DSN.
     *
     * @param array<string, mixed> $params
     *
     * @return array<string, string|int|null>
     */
    private function parts(#[\SensitiveParameter] array $params): array
    {
        $wanted = $params['hadsn'] ?? true;
        /** @var array<string, string|int|null> $parts */
        $parts = ['role' => $this->role, 'cluster' => $this->cluster];
        $more = match (true) {
            $wanted === true => [],
            \is_array($wanted) => $wanted,
            default => ['role' => $wanted],
        };
        $more['dbname'] = self::text($params, 'dbname') ?? self::text($params, 'default_dbname');
        foreach ($more as $key => $value) {
            if ($value !== null && !\is_string($value) && !\is_int($value)) {
                throw new ConfigException(self::WHERE . "hadsn, $key: expected a text or a number");
            }
            $parts[(string) $key] = ($value === '' ? null : $value) ?? $parts[(string) $key] ?? null;
        }
        if ($this->memory->staysAtLeader() && $parts['role'] === Role::Reader->value) {
            return ['role' => Role::Writer->value, 'max_lag' => null, 'after' => null] + $parts;
        }

        return $parts;
    }

    /**
     * A parameter that is a text; null, where it is empty.
     *
     * @param array<string, mixed> $params
     */
    private static function text(#[\SensitiveParameter] array $params, string $key): ?string
    {
        $value = $params[$key] ?? '';
        if (!\is_string($value)) {
            throw new ConfigException(self::WHERE . "$key: expected a text");
        }

        return $value === '' ? null : $value;
    }

    /** What a statement gets that would run by itself, after its transaction was lost. */
    private static function lost(): \PDOException
    {
        $message = 'the connection was lost, and with it the transaction: nothing of it lasts';
        $lost = new \PDOException("SQLSTATE[08003]: $message");
        $lost->errorInfo = ['08003', 7, $message];

        return $lost;
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
