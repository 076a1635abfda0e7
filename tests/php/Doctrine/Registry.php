<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use Doctrine\DBAL\Connection;
use Doctrine\ORM\Configuration;
use Doctrine\ORM\EntityManager;
use Doctrine\ORM\EntityManagerInterface;
use Doctrine\ORM\Mapping\Driver\AttributeDriver;
use Doctrine\ORM\Proxy\Proxy;
use Doctrine\Persistence\AbstractManagerRegistry;

/**
 * One entity manager on a given connection, made anew when it is reset, as DoctrineBundle does it.
 */
final class Registry extends AbstractManagerRegistry
{
    private ?EntityManagerInterface $manager = null;

    /** @param \Closure(): Connection|null $connect makes the connection of the next manager, as a registry must not */
    public function __construct(private Connection $connection, private readonly ?\Closure $connect = null)
    {
        parent::__construct('ORM', ['default' => 'connection'], ['default' => 'manager'], 'default', 'default', Proxy::class);
    }

    protected function getService(string $name): object
    {
        return $name === 'connection' ? $this->connection : $this->manager ??= $this->make();
    }

    protected function resetService(string $name): void
    {
        $this->manager = null;
        $this->connection = $this->connect === null ? $this->connection : ($this->connect)();
    }

    private function make(): EntityManager
    {
        $configuration = new Configuration();
        $configuration->setMetadataDriverImpl(new AttributeDriver([__DIR__ . '/entities']));
        $configuration->setProxyDir(sys_get_temp_dir());
        $configuration->setProxyNamespace('HaDsn\Tests\Doctrine\Proxies');

        return new EntityManager($this->connection, $configuration);
    }
}
