<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Tests\Support\WebServer;

/**
 * Where the sources of a cluster come from.
 */
final class ConfigurationTest extends UnitTestCase
{
    private const LEADER = 'echo HaDsn::topology(getenv("CLUSTER") ?: "default")->leader->name;';
    private const TRY = 'try { HaDsn::writer(); } catch (Throwable $e) { echo get_class($e), ": ", $e->getMessage(); }';

    /**
     * @dataProvider orders
     *
     * @param list<string> $places  which are set, the winner first
     */
    public function testTheFirstPlaceThatSaysSomethingWins(string $cluster, array $places): void
    {
        $directory = new Directory();
        $suffix = $cluster === 'default' ? '' : '_' . strtoupper($cluster);
        $ini = [];
        $env = ['CLUSTER' => $cluster];
        $code = self::LEADER;
        foreach ($places as $place) {
            $url = self::url($this->named($place));
            match ($place) {
                'configure' => $code = "HaDsn::configure('$url', '$cluster'); $code",
                'environment' => $env["HADSN_URL$suffix"] = $url,
                'file' => $env["HADSN_URL{$suffix}_FILE"] = $directory->write('url', "$url\n"),
                'ini' => $ini[$cluster === 'default' ? 'hadsn.url' : "hadsn.url.$cluster"] = $url,
            };
        }

        $outcome = Php::run($code, $ini, $env);

        self::assertSame('', $outcome->stderr);
        self::assertSame($places[0], $outcome->stdout);
    }

    /** @return iterable<string, array{string, list<string>}> */
    public static function orders(): iterable
    {
        $places = ['configure', 'environment', 'file', 'ini'];
        foreach (['default', 'orders', 'a1_b'] as $cluster) {
            foreach (array_keys($places) as $first) {
                $these = array_slice($places, $first);
                yield "$cluster: " . implode(' > ', $these) => [$cluster, $these];
            }
        }
        yield 'default: configure > ini' => ['default', ['configure', 'ini']];
        yield 'orders: environment > ini' => ['orders', ['environment', 'ini']];
    }

    public function testClustersOfOneRequestDoNotMix(): void
    {
        $env = ['HADSN_URL' => self::url($this->named('one')), 'HADSN_URL_ORDERS' => self::url($this->named('two'))];
        $ini = ['hadsn.url.billing' => self::url($this->named('three'))];
        $code = <<<'PHP'
            $names = [];
            foreach (['default', 'orders', 'billing', 'orders', 'default'] as $cluster) {
                $names[] = HaDsn::topology($cluster)->leader->name;
            }
            echo json_encode([$names, array_keys(HaDsn::status()['clusters'])]);
            PHP;

        self::assertSame([['one', 'two', 'three', 'two', 'one'], ['billing', 'default', 'orders']], Php::run($code, $ini, $env)->json());
    }

    public function testConfigureReplacesWhatWasUsedBefore(): void
    {
        $env = [
            'HADSN_URL' => self::url($this->named('one', '127.0.2.1')),
            'TWO' => self::url($this->named('two', '127.0.2.2')),
            'THREE' => self::url($this->named('three', '127.0.2.3')),
        ];
        $code = <<<'PHP'
            $hosts = [HaDsn::writer()];
            HaDsn::configure(getenv('TWO'));
            $hosts[] = HaDsn::writer();
            HaDsn::configure(getenv('THREE'));
            $hosts[] = HaDsn::writer();
            HaDsn::configure(getenv('TWO'));
            $hosts[] = HaDsn::writer();
            echo json_encode($hosts);
            PHP;
        $dsn = Php::run($code, env: $env)->json();

        self::assertSame(['127.0.2.1', '127.0.2.2', '127.0.2.3', '127.0.2.2'], array_map(self::host(...), $dsn));
    }

    public function testTheEnvironmentIsReadAsGetenvSeesIt(): void
    {
        $code = 'putenv("HADSN_URL=" . getenv("LATER")); ' . self::LEADER;

        self::assertSame('later', Php::run($code, env: ['LATER' => self::url($this->named('later'))])->stdout);
    }

    public function testARequestLeavesNothingOfItselfToTheNext(): void
    {
        $router = <<<'PHP'
            <?php
            if (isset($_GET['url'])) {
                HaDsn::configure($_GET['url'], $_GET['cluster'] ?? 'default');
            }
            try {
                $said = HaDsn::topology($_GET['cluster'] ?? 'default')->leader->name . ' ' . HaDsn::writer($_GET['cluster'] ?? 'default');
            } catch (HaDsn\Exception $e) {
                $said = $e::class . ': ' . $e->getMessage();
            }
            $clusters = HaDsn::status()['clusters'];
            echo json_encode([
                'pid' => getmypid(),
                'said' => $said,
                'clusters' => array_keys($clusters),
                'timeout' => $clusters['default']['failover_timeout'],
            ]);
            PHP;
        $server = new WebServer($router, ['hadsn.url' => self::url($this->named('ini', '127.0.2.1'))]);
        $own = self::url($this->named('own', '127.0.2.2'));

        $answers = [
            $server->get([]),
            $server->get(['url' => $own]),
            $server->get([]),
            $server->get(['url' => $own, 'cluster' => 'orders']),
            $server->get(['cluster' => 'orders']),
            $server->get([]),
        ];
        $server->stop();

        self::assertCount(1, array_unique(array_column($answers, 'pid')), 'all requests were served by one process');
        self::assertStringStartsWith('ini pgsql:host=127.0.2.1;', $answers[0]['said']);
        self::assertStringStartsWith('own pgsql:host=127.0.2.2;', $answers[1]['said']);
        self::assertSame($answers[0]['said'], $answers[2]['said']);
        self::assertStringStartsWith('own pgsql:host=127.0.2.2;', $answers[3]['said']);
        self::assertStringStartsWith('HaDsn\ConfigException: cluster "orders": no source is configured', $answers[4]['said']);
        self::assertSame($answers[0]['said'], $answers[5]['said']);
        self::assertSame(['default', 'orders'], $answers[3]['clusters']);
        self::assertSame(['default'], $answers[4]['clusters']);
        self::assertSame(10, $answers[0]['timeout'], 'a visitor waits for 10 s at most');
    }

    public function testACommandMayWaitAMinuteForALeader(): void
    {
        HaDsn::configure('patroni://127.0.0.1/app', 'waiting');

        self::assertSame(60.0, HaDsn::status()['clusters']['waiting']['failover_timeout']);
    }

    /**
     * @dataProvider unusableFiles
     *
     * @param callable(Directory): string $make
     */
    public function testAnUnusableFileIsReportedAtOnce(callable $make, string ...$texts): void
    {
        $directory = new Directory();
        $file = $make($directory);

        $outcome = Php::run(self::TRY, env: ['HADSN_URL_FILE' => $file], timeout: 10.0);

        self::assertStringStartsWith('HaDsn\ConfigException: HADSN_URL_FILE', $outcome->stdout);
        foreach ([$file, ...$texts] as $text) {
            self::assertStringContainsString($text, $outcome->stdout);
        }
    }

    /** @return iterable<string, list<mixed>> */
    public static function unusableFiles(): iterable
    {
        yield 'missing' => [static fn(Directory $d): string => "$d->path/missing", 'No such file'];
        yield 'a directory' => [static fn(Directory $d): string => $d->path, 'not a regular file'];
        yield 'a pipe that nobody writes to' => [static function (Directory $d): string {
            posix_mkfifo("$d->path/fifo", 0600);

            return "$d->path/fifo";
        }, 'not a regular file'];
        yield 'a device' => [static fn(): string => '/dev/zero', 'not a regular file'];
        yield 'empty' => [static fn(Directory $d): string => $d->write('url', ''), 'empty'];
        yield 'white space' => [static fn(Directory $d): string => $d->write('url', " \n\n"), 'empty'];
        yield 'a NUL byte' => [static fn(Directory $d): string => $d->write('url', "patroni://127.0.0.1/app\0"), 'NUL byte'];
        yield 'no UTF-8' => [static fn(Directory $d): string => $d->write('url', "patroni://127.0.0.1/\xff"), 'UTF-8'];
        yield 'UTF-16' => [
            static fn(Directory $d): string => $d->write('url', "\xff\xfe" . mb_convert_encoding('patroni://127.0.0.1', 'UTF-16LE')),
            'NUL byte',
        ];
        yield 'too large' => [static fn(Directory $d): string => $d->write('url', str_repeat("patroni://127.0.0.1\n", 4000)), '64 KiB'];
        yield 'not a source' => [static fn(Directory $d): string => $d->write('url', 'hello'), 'source 1', 'patroni://'];
    }

    public function testAFileNameThatIsEmptyIsReported(): void
    {
        self::assertStringStartsWith('HaDsn\ConfigException: HADSN_URL_FILE', Php::run(self::TRY, env: ['HADSN_URL_FILE' => ''])->stdout);
    }

    public function testOpenBasedirHoldsForTheFileToo(): void
    {
        [$inside, $outside] = [new Directory(), new Directory()];
        $url = self::url($this->named('inside'));
        $ini = ['open_basedir' => $inside->path];

        $allowed = Php::run(self::LEADER, $ini, ['HADSN_URL_FILE' => $inside->write('url', $url)]);
        $refused = Php::run(self::TRY, $ini, ['HADSN_URL_FILE' => $outside->write('url', $url)]);
        symlink("$outside->path/url", "$inside->path/link");
        $linked = Php::run(self::TRY, $ini, ['HADSN_URL_FILE' => "$inside->path/link"]);

        self::assertSame('inside', $allowed->stdout);
        foreach ([$refused, $linked] as $outcome) {
            self::assertStringStartsWith('HaDsn\ConfigException: HADSN_URL_FILE', $outcome->stdout);
            self::assertStringContainsString('open_basedir', $outcome->stdout);
            self::assertSame('', $outcome->stderr);
        }
    }

    /**
     * @dataProvider emptyVariables
     */
    public function testAnEmptyVariableIsReportedAndNotPassedOver(string $value): void
    {
        $outcome = Php::run(self::TRY, ['hadsn.url' => self::url($this->named('ini'))], ['HADSN_URL' => $value]);

        self::assertStringStartsWith('HaDsn\ConfigException: HADSN_URL: ', $outcome->stdout);
        self::assertStringContainsString('empty', $outcome->stdout);
    }

    /** @return iterable<string, array{string}> */
    public static function emptyVariables(): iterable
    {
        yield 'empty' => [''];
        yield 'a space' => [' '];
        yield 'a newline' => ["\n"];
    }

    public function testAnEmptyIniSettingCountsAsNone(): void
    {
        $outcome = Php::run(self::TRY, ['hadsn.url' => '']);

        self::assertStringStartsWith('HaDsn\ConfigException: cluster "default": no source is configured', $outcome->stdout);
    }

    public function testAnIniValueWithANulByteIsRefused(): void
    {
        $directory = new Directory();
        $directory->write('hadsn.ini', "hadsn.url=\"patroni://127.0.0.1:1/app\0?ttl=5s\"\nhadsn.url.orders=\"\0\"\n");
        $code = self::TRY . ' echo "\n"; ' . strtr(self::TRY, ['writer()' => 'writer("orders")']);

        $outcome = Php::run($code, env: ['PHP_INI_SCAN_DIR' => ":$directory->path"]);

        self::assertSame(0, $outcome->exitCode, $outcome->stderr);
        self::assertStringContainsString('HaDsn\ConfigException: hadsn.url: contains a NUL byte', $outcome->stdout);
        self::assertStringContainsString('HaDsn\ConfigException: hadsn.url.orders: contains a NUL byte', $outcome->stdout);
    }

    public function testAScriptCanNotChangeTheIniSettings(): void
    {
        $ini = ['hadsn.url' => 'patroni://127.0.0.1/app', 'hadsn.url.orders' => 'patroni://127.0.0.1/orders'];
        $code = <<<'PHP'
            $result = [];
            foreach (['hadsn.url', 'hadsn.url.orders'] as $name) {
                array_push($result, ini_set($name, 'patroni://evil/app'), ini_get($name));
            }
            echo json_encode($result, JSON_UNESCAPED_SLASHES);
            PHP;

        self::assertSame([false, $ini['hadsn.url'], false, $ini['hadsn.url.orders']], Php::run($code, $ini)->json());
    }

    public function testASettingOfABadClusterNameIsNoCluster(): void
    {
        $ini = ['hadsn.url.Orders' => 'patroni://127.0.0.1/app', 'hadsn.url.my_file' => 'patroni://127.0.0.1/app'];
        $env = ['HADSN_URL_orders' => 'patroni://127.0.0.1/app', 'HADSN_URL_MY_FILE_FILE' => '/x', 'HADSN_URLS' => 'x'];

        self::assertSame([], Php::run('echo json_encode(HaDsn::status()["clusters"]);', $ini, $env)->json());
    }

    /** A Patroni whose leader has this name. */
    private function named(string $name, string $host = '127.0.2.1'): FakePatroni
    {
        return $this->cluster(Nodes::leader($name, $host));
    }
}
