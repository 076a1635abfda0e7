<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\Connection\Dsn;
use Illuminate\Database\Connectors\ConnectorInterface;
use Illuminate\Database\Connectors\PostgresConnector;

/**
 * Makes the connections of `pgsql`: those with the key `hadsn` through hadsn, the others as before.
 *
 * @internal
 */
final class Connector extends PostgresConnector
{
    /**
     * @param ConnectorInterface      $otherwise makes the connections that do not ask for hadsn
     * @param \Closure(string): void  $missing   is told the name of a connection that asks, where there is no extension
     */
    public function __construct(
        private readonly ConnectorInterface $otherwise,
        private readonly Clusters $clusters,
        private readonly Purpose $purpose,
        private readonly \Closure $missing,
    ) {}

    /**
     * @param array<mixed> $config
     *
     * @return \PDO
     */
    public function connect(#[\SensitiveParameter] array $config)
    {
        if (!\extension_loaded('hadsn')) {
            if (Settings::isWanted($config)) {
                ($this->missing)((string) ($config['name'] ?? 'pgsql'));
            }

            return $this->otherwise->connect($config);
        }
        $settings = Settings::of($config);
        if ($settings === null) {
            return $this->otherwise->connect($config);
        }
        $this->clusters->prepare($settings);
        Dsn::checkTls($settings->cluster, $config, "connection $settings->connection, ");

        return parent::connect($config);
    }

    /**
     * @param array<mixed> $config
     * @param array<int, mixed>    $options
     *
     * @return \PDO
     */
    public function createConnection($dsn, #[\SensitiveParameter] array $config, array $options)
    {
        $credentials = [$config['username'] ?? null, $config['password'] ?? null];
        /** @var array{string|null, string|null} $credentials */
        $credentials = array_map(static fn(mixed $text): mixed => $text === '' ? null : $text, $credentials);
        try {
            $pdo = $this->createPdoConnection($dsn, $credentials[0], $credentials[1], $options);
        } catch (\PDOException $e) {
            $cause = $e->getPrevious();
            // Laravel would try the next host, and there is none: hadsn has tried all of them, as long as it may.
            throw $cause instanceof \HaDsn\Exception ? $cause : $e;
        }
        $this->configureSession($pdo, $config);

        return $pdo;
    }

    /** @param array<mixed> $config */
    protected function getDsn(#[\SensitiveParameter] array $config)
    {
        $settings = Settings::of($config) ?? throw new \LogicException('this connection does not ask for hadsn');
        $role = $settings->role ?? $this->purpose->role();

        return Dsn::of([
            'cluster' => $settings->cluster,
            'role' => $role->value,
            // The first is what a pooler calls it.
            'dbname' => (string) ($config['connect_via_database'] ?? $config['database'] ?? ''),
            'max_lag' => $settings->maxLag,
            'after' => $this->purpose->after(),
        ], "connection $settings->connection, ");
    }

    /**
     * Newer versions of Laravel have this in the DSN.
     *
     * @param array<mixed> $config
     */
    private function configureSession(\PDO $pdo, #[\SensitiveParameter] array $config): void
    {
        $settings = [];
        if (isset($config['charset']) && !method_exists($this, 'configureEncoding')) {
            $settings[] = 'SET client_encoding TO ' . $pdo->quote((string) $config['charset']);
        }
        if (isset($config['application_name']) && !method_exists($this, 'configureApplicationName')) {
            $settings[] = 'SET application_name TO ' . $pdo->quote((string) $config['application_name']);
        }
        if ($settings !== []) {
            $pdo->exec(implode('; ', $settings));
        }
    }
}
