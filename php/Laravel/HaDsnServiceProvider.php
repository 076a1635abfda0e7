<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use Illuminate\Contracts\Config\Repository;
use Illuminate\Contracts\Container\Container;
use Illuminate\Contracts\Database\LostConnectionDetector;
use Illuminate\Contracts\Events\Dispatcher;
use Illuminate\Database\Connection;
use Illuminate\Database\Connectors\ConnectorInterface;
use Illuminate\Database\Connectors\PostgresConnector;
use Illuminate\Database\Eloquent\Model;
use Illuminate\Database\DatabaseManager;
use Illuminate\Database\PostgresConnection as LaravelConnection;
use Illuminate\Support\ServiceProvider;
use Psr\Log\LoggerInterface;

/**
 * Brings hadsn into Laravel: connections of the driver `pgsql` that have the key `hadsn` in config/database.php are made by it. All others
 * stay what they are. See docs/laravel.md.
 */
final class HaDsnServiceProvider extends ServiceProvider
{
    /** When a long process begins new work. */
    private const BEGINNINGS = [
        'Illuminate\Queue\Events\Looping',
        'Laravel\Octane\Events\RequestReceived',
        'Laravel\Octane\Events\TaskReceived',
        'Laravel\Octane\Events\TickReceived',
    ];

    private const CONFIG = __DIR__ . '/config/hadsn.php';

    private static bool $hasSaid = false;

    /** What makes connection objects, and what did before. */
    private static ?\Closure $resolver = null;

    /** @var (\Closure(mixed...): Connection)|null */
    private static ?\Closure $previous = null;

    public function register(): void
    {
        $app = $this->app;
        // The database component alone has no such configuration.
        if ($app->bound('config') && $app->make('config') instanceof Repository) {
            $this->mergeConfigFrom(self::CONFIG, 'hadsn');
        }
        // Made here, and once: applications that are cloned for a request (Octane) share the connections, and what makes them.
        $purpose = new Purpose();
        $clusters = new Clusters(static function () use ($app): array {
            /** @var Repository $config */
            $config = $app->make('config');

            /** @var array<string, string|null> */
            return $config->get('hadsn.clusters', []);
        });
        $app->instance(Clusters::class, $clusters);

        $missing = self::missing($app);
        if (!$app->bound('db.connector.pgsql')) {
            $app->bind('db.connector.pgsql', PostgresConnector::class);
        }
        $app->extend('db.connector.pgsql', static fn(ConnectorInterface $connector): Connector => new Connector($connector, $clusters, $purpose, $missing));

        $this->resolve($purpose);
        // Laravel has that since 12.22.
        if (interface_exists(LostConnectionDetector::class)) {
            $app->extend(LostConnectionDetector::class, static fn(LostConnectionDetector $detector): LostConnections => new LostConnections($detector));
        }
    }

    public function boot(): void
    {
        if ($this->app->bound('events')) {
            $app = $this->app;
            /** @var Dispatcher $events */
            $events = $app->make('events');
            $events->listen(self::BEGINNINGS, static fn() => self::recover($app));
            self::watchModels($events);
        }
        if ($this->app->runningInConsole()) {
            $this->publishes([self::CONFIG => $this->app->configPath('hadsn.php')], 'hadsn-config');
            $this->commands([StatusCommand::class]);
        }
    }

    /** Tells a transaction which models its work stores. */
    private static function watchModels(Dispatcher $events): void
    {
        $tell = static function (string $event, \Closure $what) use ($events): void {
            $events->listen("eloquent.$event: *", static function (string $name, array $payload) use ($what): void {
                $model = $payload[0] ?? null;
                $connection = $model instanceof Model ? $model->getConnection() : null;
                $models = $connection instanceof PostgresConnection ? $connection->storedModels() : null;
                if ($models !== null) {
                    $what($models, $model);
                }
            });
        };
        $tell('created', static fn(StoredModels $models, Model $model) => $models->add($model, false));
        $tell('updated', static fn(StoredModels $models, Model $model) => $models->add($model, false));
        $tell('deleted', static fn(StoredModels $models, Model $model) => $models->add($model, true));
        $tell('saving', static fn(StoredModels $models, Model $model) => $models->use($model));
    }

    private function resolve(Purpose $purpose): void
    {
        /** @var (\Closure(mixed...): Connection)|null $previous */
        $previous = Connection::getResolver('pgsql');
        // A test suite makes many applications in one process.
        $previous = self::$previous = $previous === self::$resolver ? self::$previous : $previous;
        self::$resolver = static function (\PDO|\Closure $pdo, ?string $database, ?string $prefix, #[\SensitiveParameter] array $config) use ($purpose, $previous): Connection {
            $settings = \extension_loaded('hadsn') ? Settings::of($config) : null;

            return match (true) {
                $settings !== null => new PostgresConnection($pdo, (string) $database, (string) $prefix, $config, $settings, $purpose),
                $previous !== null => $previous($pdo, $database, $prefix, $config),
                default => new LaravelConnection($pdo, (string) $database, (string) $prefix, $config),
            };
        };
        Connection::resolverFor('pgsql', self::$resolver);
    }

    /**
     * Says once that there is no extension.
     *
     * @return \Closure(string): void
     */
    private static function missing(Container $app): \Closure
    {
        return static function (string $connection) use ($app): void {
            if (self::$hasSaid) {
                return;
            }
            self::$hasSaid = true;
            $notice = "the extension hadsn is not loaded: connection $connection uses the host of its own configuration";
            // The database component alone has no log.
            /** @var LoggerInterface|null $log */
            $log = $app->bound('log') ? $app->make('log') : null;
            $log === null ? error_log("notice: $notice") : $log->notice($notice);
        };
    }

    private static function recover(Container $app): void
    {
        if (!$app->resolved('db')) {
            return;
        }
        /** @var DatabaseManager $db */
        $db = $app->make('db');
        foreach ($db->getConnections() as $connection) {
            if ($connection instanceof PostgresConnection) {
                $connection->recover();
            }
        }
    }
}
