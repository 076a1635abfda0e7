<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel\app;

use HaDsn\Laravel\HaDsnServiceProvider;
use Illuminate\Config\Repository;
use Illuminate\Container\Container;
use Illuminate\Database\DatabaseManager;
use Illuminate\Database\DatabaseServiceProvider;
use Illuminate\Events\Dispatcher;
use Illuminate\Filesystem\Filesystem;
use Illuminate\Support\Facades\Facade;
use Psr\Log\LoggerInterface;

/**
 * As much of Laravel's application as its database component needs: a container with its bindings, and a connection that asks for hadsn.
 */
final class Application extends Container
{
    /** @param array<string, mixed> $connection is put over the usual one */
    public function __construct(array $connection = [], ?LoggerInterface $logger = null)
    {
        self::setInstance($this);
        Facade::clearResolvedInstances();
        Facade::setFacadeApplication($this);
        $this->instance(Container::class, $this);
        $this->instance('app', $this);
        $this->instance('files', new Filesystem());
        $this->instance('events', new Dispatcher($this));
        $this->instance('config', new Repository(self::config($connection)));
        if ($logger !== null) {
            $this->instance('log', $logger);
        }
        $this->alias('db', DatabaseManager::class);
        $providers = [new DatabaseServiceProvider($this), new HaDsnServiceProvider($this)];
        foreach ($providers as $provider) {
            $provider->register();
        }
        foreach ($providers as $provider) {
            $provider->boot();
        }
    }

    public function db(): DatabaseManager
    {
        return $this->make('db');
    }

    public function runningInConsole(): bool
    {
        return true;
    }

    public function configPath(string $path = ''): string
    {
        return "/nowhere/$path";
    }

    public function runningUnitTests(): bool
    {
        return true;
    }

    /**
     * @param array<string, mixed> $connection
     *
     * @return array<string, mixed>
     */
    private static function config(array $connection): array
    {
        $connection += [
            'driver' => 'pgsql',
            'hadsn' => true,
            'host' => getenv('DB_HOST') ?: '127.0.0.1',
            'database' => 'app',
            'username' => 'app',
            'password' => 'app',
            'charset' => 'utf8',
            'prefix' => '',
            'schema' => 'public',
            'read' => [],
            'write' => [],
            'sticky' => true,
        ];
        $connection = array_filter($connection, static fn(mixed $value): bool => $value !== null);

        return ['database' => ['default' => 'pgsql', 'connections' => ['pgsql' => $connection]]];
    }
}
