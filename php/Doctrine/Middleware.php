<?php

declare(strict_types=1);

namespace HaDsn\Doctrine;

use Doctrine\DBAL\Driver;
use Doctrine\DBAL\Driver\Middleware as DriverMiddleware;
use Psr\Log\LoggerInterface;

/**
 * Has a connection of Doctrine DBAL 3 or 4 made by hadsn: to the leader or to a replica, its role verified, through a failover.
 *
 *     $configuration = new Doctrine\DBAL\Configuration();
 *     $configuration->setMiddlewares([new HaDsn\Doctrine\Middleware()]);
 *     $connection = DriverManager::getConnection(
 *         ['driver' => 'pdo_pgsql', 'user' => 'app', 'password' => 'secret', 'dbname' => 'app'],
 *         $configuration,
 *     );
 *
 * Host and port are not needed; where the extension is not loaded they are used. A single connection may ask for another role or
 * cluster: see {@see HaDsnDriver::connect()}. It makes the connection in place of Doctrine's driver `pdo_pgsql`, so other
 * middlewares belong behind it. What breaks in a failover is a `ConnectionLost`, upon which DBAL closes the connection and
 * makes a new one for the next statement; it repeats nothing by itself.
 */
final class Middleware implements DriverMiddleware
{
    /**
     * @param string               $cluster the cluster that is meant, unless the parameters of a connection name another one
     * @param string               $role    `writer` or `reader`, unless they name another one
     * @param LoggerInterface|null $logger  is told once if the extension is not loaded
     */
    public function __construct(
        private readonly string $cluster = 'default',
        private readonly string $role = 'writer',
        private readonly ?LoggerInterface $logger = null,
    ) {}

    public function wrap(Driver $driver): Driver
    {
        return new HaDsnDriver($driver, $this->cluster, $this->role, $this->logger);
    }
}
