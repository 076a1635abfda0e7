<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel\app;

use HaDsn\Laravel\HaDsnServiceProvider;
use HaDsn\Laravel\ReadYourWrites;
use Illuminate\Config\Repository;
use Illuminate\Container\Container;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Database\DatabaseManager;
use Illuminate\Database\DatabaseServiceProvider;
use Illuminate\Events\Dispatcher;
use Illuminate\Filesystem\Filesystem;
use Illuminate\Http\Request;
use Illuminate\Queue\Connectors\DatabaseConnector;
use Illuminate\Queue\QueueManager;
use Illuminate\Routing\Router;
use Illuminate\Session\Middleware\StartSession;
use Illuminate\Session\SessionManager;
use Illuminate\Support\Facades\Facade;
use Psr\Log\LoggerInterface;

/**
 * As much of Laravel's application as its components need: a container with their bindings, and the configuration and routes that docs/laravel.md
 * tells a reader to write.
 */
final class Application extends Container
{
    /** @param array<string, mixed> $connection is put over the documented one */
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
        $this->instance(ExceptionHandler::class, new Handler());
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

    /** Answers one request. */
    public function serve(Request $request): void
    {
        $this->instance('session', new SessionManager($this));
        $this->bind(StartSession::class, fn(): StartSession => new StartSession($this->make('session')));
        $router = new Router($this->make('events'), $this);
        $this->instance('router', $router);
        $this->instance('request', $request);
        $router->middlewareGroup('web', [StartSession::class, ReadYourWrites::class]);
        $router->group(['middleware' => 'web'], static function (): void {
            eval(Documentation::code('routes/web.php'));
        });
        $router->post('/jobs/{number}', function (string $number): array {
            $this->queue()->connection()->push('WriteOrder', ['number' => $number]);

            return ['queued' => $number];
        });
        $router->dispatch($request)->send();
    }

    public function queue(): QueueManager
    {
        $queue = new QueueManager($this);
        $queue->addConnector('database', fn(): DatabaseConnector => new DatabaseConnector($this->db()));

        return $queue;
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
        $connections = eval('return [' . Documentation::code('config/database.php') . '];');
        $connections['pgsql'] = array_filter($connection + $connections['pgsql'], static fn(mixed $value): bool => $value !== null);

        return [
            'database' => ['default' => 'pgsql', 'connections' => $connections],
            'queue' => [
                'default' => 'database',
                // A job whose reservation is in doubt comes back soon; there is one worker only.
                'connections' => ['database' => ['driver' => 'database', 'table' => 'jobs', 'queue' => 'default', 'retry_after' => 5]],
            ],
            'session' => [
                'driver' => 'file',
                'files' => (string) getenv('SESSIONS'),
                'cookie' => 'session',
                'path' => '/',
                'domain' => null,
                'lifetime' => 10,
                'lottery' => [0, 1],
                'expire_on_close' => false,
            ],
        ];
    }
}
