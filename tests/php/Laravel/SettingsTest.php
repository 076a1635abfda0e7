<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\ConfigException;
use HaDsn\Laravel\Settings;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use Illuminate\Database\Connection;
use Illuminate\Database\QueryException;

/**
 * What may stand in config/database.php and config/hadsn.php, and what comes of it.
 */
final class SettingsTest extends LaravelTestCase
{
    public function testWhatAConnectionMayAskFor(): void
    {
        $of = static function (mixed $hadsn, string $name = 'pgsql'): ?array {
            $settings = Settings::of(['driver' => 'pgsql', 'name' => $name, 'hadsn' => $hadsn]);

            return $settings === null ? null : [$settings->cluster, $settings->source, $settings->role?->value, $settings->maxLag];
        };

        self::assertSame([null, null, null], [$of(false), $of(null), $of('')]);
        self::assertSame(['default', null, null, null], $of(true));
        self::assertSame(['orders', null, null, null], $of('orders'));
        self::assertSame(['laravel_pgsql', 'patroni://h/app', null, null], $of('patroni://h/app'));
        self::assertSame(['laravel_my_shop_7840844a', 'patroni://h/app', null, null], $of('patroni://h/app', 'My Shop'));
        self::assertStringStartsWith('laravel_log_file_', $of('patroni://h/app', 'log_file')[0]);
        self::assertSame(['orders', null, 'reader', 65536], $of(['cluster' => 'orders', 'role' => 'reader', 'max_lag' => 65536]));
        self::assertSame(['orders', 'patroni://h/app', null, null], $of(['cluster' => 'orders', 'source' => 'patroni://h/app']));
        self::assertSame(['default', null, 'reader', null], $of(['role' => 'reader']));
        foreach (['Orders!', 5, ['rolle' => 'reader'], ['role' => 'master'], ['max_lag' => '1MiB'], ['cluster' => 7]] as $wrong) {
            self::assertThrows(ConfigException::class, static fn() => $of($wrong), 'connection pgsql, hadsn');
        }
    }

    public function testTheClustersStandInTheConfigurationOfThePackage(): void
    {
        $app = $this->application(['hadsn' => 'orders']);
        $app->make('config')->set('hadsn.clusters.orders', $this->source());

        self::assertSame(1, $app->db()->selectOne('SELECT 1 AS one')->one);
        self::assertSame('own', \HaDsn::status()['clusters']['orders']['leader']);
    }

    public function testTheDefaultOneComesFromTheEnvironmentAlsoWhenTheConfigurationIsCached(): void
    {
        putenv('HADSN_URL=' . $this->source());
        $app = $this->application(['hadsn' => true]);
        putenv('HADSN_URL');

        self::assertSame(1, $app->db()->selectOne('SELECT 1 AS one')->one);
    }

    public function testTlsThatTheSourceDoesNotAskForIsRefused(): void
    {
        $tls = ['sslmode' => 'verify-full', 'sslrootcert' => '/ca.pem'];
        $source = self::url(self::deadAddress(), 'timeout=200ms&failover_timeout=200ms');

        $db = $this->connection($tls + ['hadsn' => $source]);
        $thrown = self::thrown(static fn() => $db->select('SELECT 1'));
        self::assertInstanceOf(QueryException::class, $thrown);
        self::assertInstanceOf(ConfigException::class, $thrown->getPrevious());
        self::assertStringContainsString('connection pgsql, sslmode: it has to stand in the source', $thrown->getMessage());

        $db = $this->connection($tls + ['hadsn' => "$source&sslmode=verify-full&sslrootcert=%2Fca.pem"]);
        self::assertNotInstanceOf(ConfigException::class, self::thrown(static fn() => $db->select('SELECT 1'))->getPrevious());
        self::assertSame(1, $this->connection(['sslmode' => 'prefer'])->selectOne('SELECT 1 AS one')->one);
    }

    /** @dataProvider modes */
    public function testNorIsLessThanTheConnectionAsksFor(string $wanted, string $given, bool $isRefused): void
    {
        $source = self::url(self::deadAddress(), 'timeout=200ms&failover_timeout=200ms' . ($given === '' ? '' : "&sslmode=$given"));

        $thrown = self::thrown(fn() => $this->connection(['sslmode' => $wanted, 'hadsn' => $source])->select('SELECT 1'));

        self::assertSame($isRefused, $thrown->getPrevious() instanceof ConfigException, $thrown->getMessage());
    }

    /** @return iterable<string, array{string, string, bool}> */
    public static function modes(): iterable
    {
        yield 'none at all' => ['require', 'disable', true];
        yield 'without a look at the certificate' => ['verify-full', 'require', true];
        yield 'without a look at the name' => ['verify-full', 'verify-ca', true];
        yield 'what nobody knows' => ['verify-everything', 'verify-full', true];
        yield 'more' => ['require', 'verify-full', false];
        yield 'the same' => ['require', 'require', false];
        yield 'what is lax anyway' => ['prefer', 'disable', false];
    }

    public function testThePoolerMayCallTheDatabaseOtherwise(): void
    {
        $db = $this->connection(['database' => 'pool', 'connect_via_database' => 'app', 'connect_via_port' => 1]);

        self::assertSame('app', $db->selectOne('SELECT current_database() AS name')->name);
    }

    public function testSecretsOfASourceAreInNoMessage(): void
    {
        $db = $this->connection(['hadsn' => 'patroni://app:hunter2@127.0.0.1:1/app?timeout=later']);

        $thrown = self::thrown(static fn() => $db->select('SELECT 1'));

        self::assertStringContainsString('timeout', $thrown->getMessage());
        self::assertStringNotContainsString('hunter2', (string) $thrown);
    }

    public function testOneThatWasThereBeforeMakesTheOtherConnections(): void
    {
        require_once __DIR__ . '/app/Elsewhere.php';
        Connection::resolverFor('pgsql', static fn(...$arguments): Connection => new app\Elsewhere(...$arguments));
        try {
            $other = $this->application(['hadsn' => null, 'host' => Postgres::HOST, 'port' => self::$server->port])->db()->connection();
            self::assertInstanceOf(app\Elsewhere::class, $other);
            $this->connection();
        } finally {
            Connection::resolverFor('pgsql', static fn($pdo, $database, $prefix, $config): Connection => new \Illuminate\Database\PostgresConnection($pdo, $database, $prefix, $config));
        }
    }

    /** @dataProvider notices */
    public function testWithoutTheExtensionTheHostIsUsedAndItIsSaidOnce(string $log, array $logged, string $printed): void
    {
        $outcome = (new Process(
            [...Php::command([], false), __DIR__ . '/app/without-extension.php', (string) self::$server->port, $log],
            ['DB_HOST' => Postgres::HOST, 'DB_USERNAME' => 'app', 'DB_PASSWORD' => 'app', 'HADSN_URL' => 'patroni://192.0.2.1/app'],
        ))->wait(30.0);

        self::assertSame([$printed, 0], [$outcome->stderr, $outcome->exitCode], $outcome->stdout);
        self::assertSame([
            'classes' => ['Illuminate\Database\PostgresConnection', 'Illuminate\Database\PostgresConnection'],
            'ports' => [self::$server->port, self::$server->port],
            'log' => $logged,
        ], $outcome->json());
    }

    /** @return iterable<string, array{string, list<string>, string}> */
    public static function notices(): iterable
    {
        $notice = 'notice: the extension hadsn is not loaded: connection pgsql uses the host of its own configuration';
        yield 'in the log' => ['log', [$notice], ''];
        yield 'by the database component alone' => ['no log', [], "$notice\n"];
    }

    public function testTheDatabaseComponentAloneIsEnough(): void
    {
        $code = strtr((new Page('laravel.md'))->first('Without the rest of Laravel'), [
            'patroni://10.0.0.1,10.0.0.2,10.0.0.3/app' => $this->source(),
            "'secret'" => "'app'",
        ]);

        self::assertSame(Postgres::HOST, eval($code . 'return $leader;'));
    }

    public function testTheStatusCommandShowsTheMembers(): void
    {
        $fake = $this->cluster(Nodes::leader('one', '127.0.0.61'), Nodes::replica('two', '127.0.0.62'));

        $outcome = self::artisan(self::url($fake));
        self::assertSame([0, ''], [$outcome->exitCode, $outcome->stderr]);
        self::assertMatchesRegularExpression('/connection pgsql, cluster default, patroni:/', $outcome->stdout);
        self::assertMatchesRegularExpression('/\| one\s+\| leader\s+\|.*127\.0\.0\.61:5432/', $outcome->stdout);
        self::assertMatchesRegularExpression('/\| two\s+\| replica\s+\|.*127\.0\.0\.62:5432/', $outcome->stdout);

        $json = self::artisan(self::url($fake), '--json')->json();
        self::assertSame(['one', ['one', 'two']], [$json['pgsql']['leader'], array_column($json['pgsql']['members'], 'member')]);

        $outcome = self::artisan(self::url(self::deadAddress(), 'timeout=500ms'));
        self::assertSame(1, $outcome->exitCode);
        self::assertStringContainsString('connection refused', $outcome->stdout);
        $outcome = self::artisan(self::url($this->cluster(Nodes::replica('two', '127.0.0.62'))));
        self::assertSame(1, $outcome->exitCode);
        self::assertStringContainsString('there is no leader', $outcome->stdout);
    }

    private static function artisan(string $url, string ...$arguments): \HaDsn\Tests\Support\Outcome
    {
        return (new Process([...Php::command(), __DIR__ . '/app/artisan.php', 'hadsn:status', ...$arguments], ['HADSN_URL' => $url]))->wait(30.0);
    }
}
