<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use Illuminate\Contracts\Config\Repository;
use Illuminate\Contracts\Database\LostConnectionDetector;
use Illuminate\Database\Connection;
use Illuminate\Database\Connectors\PostgresConnector;
use Illuminate\Database\PostgresConnection as LaravelConnection;
use Illuminate\Support\ServiceProvider;

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
        $clusters = new Clusters(static fn(): array => $app->make('config')->get('hadsn.clusters', []));
        $app->instance(Clusters::class, $clusters);

        $missing = self::missing($app);
        if (!$app->bound('db.connector.pgsql')) {
            $app->bind('db.connector.pgsql', PostgresConnector::class);
        }
        $app->extend('db.connector.pgsql', static fn($connector) => new Connector($connector, $clusters, $purpose, $missing));

        $this->resolve($purpose);
        // Laravel has that since 12.22.
        if (interface_exists(LostConnectionDetector::class)) {
            $app->extend(LostConnectionDetector::class, static fn($detector) => new LostConnections($detector));
        }
    }

    public function boot(): void
    {
        if ($this->app->bound('events')) {
            $app = $this->app;
            $this->app->make('events')->listen(self::BEGINNINGS, static fn() => self::recover($app));
        }
        if ($this->app->runningInConsole()) {
            $this->publishes([self::CONFIG => $this->app->configPath('hadsn.php')], 'hadsn-config');
            $this->commands([StatusCommand::class]);
        }
    }

    private function resolve(Purpose $purpose): void
    {
        $previous = Connection::getResolver('pgsql');
        // A test suite makes many applications in one process.
        $previous = self::$previous = $previous === self::$resolver ? self::$previous : $previous;
        self::$resolver = static function ($pdo, $database, $prefix, #[\SensitiveParameter] $config) use ($purpose, $previous): Connection {
            $settings = \extension_loaded('hadsn') ? Settings::of($config) : null;

            return match (true) {
                $settings !== null => new PostgresConnection($pdo, $database, $prefix, $config, $settings, $purpose),
                $previous !== null => $previous($pdo, $database, $prefix, $config),
                default => new LaravelConnection($pdo, $database, $prefix, $config),
            };
        };
        Connection::resolverFor('pgsql', self::$resolver);
    }

    /** Says once that there is no extension. */
    private static function missing(object $app): \Closure
    {
        return static function (string $connection) use ($app): void {
            if (self::$hasSaid) {
                return;
            }
            self::$hasSaid = true;
            $notice = "the extension hadsn is not loaded: connection $connection uses the host of its own configuration";
            // The database component alone has no log.
            $app->bound('log') ? $app->make('log')->notice($notice) : error_log("notice: $notice");
        };
    }

    private static function recover(object $app): void
    {
        if (!$app->resolved('db')) {
            return;
        }
        foreach ($app->make('db')->getConnections() as $connection) {
            if ($connection instanceof PostgresConnection) {
                $connection->recover();
            }
        }
    }
}
