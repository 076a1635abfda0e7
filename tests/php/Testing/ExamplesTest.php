<?php

declare(strict_types=1);

namespace HaDsn\Tests\Testing;

use HaDsn\Testing\Ambush;
use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\InteractsWithFailover;
use HaDsn\Testing\PdoErrors;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\Workplace;

/**
 * docs/testing.md shows what there is, and its examples work.
 */
final class ExamplesTest extends TestingTestCase
{
    private const ROOT = __DIR__ . '/../../..';

    /**
     * @dataProvider examples
     */
    public function testAnExampleIsPhp(string $code): void
    {
        $directory = new Directory();
        $file = $directory->write('example.php', str_starts_with($code, '<?php') ? $code : "<?php\n$code");
        $outcome = (new Process([PHP_BINARY, '-n', '-l', $file]))->wait(20.0);

        self::assertSame([0, ''], [$outcome->exitCode, $outcome->stderr], $outcome->stdout);
    }

    /** @return iterable<string, array{string}> */
    public static function examples(): iterable
    {
        preg_match_all('/^```php\n(.*?)^```$/ms', self::page(), $found);
        foreach ($found[1] as $number => $code) {
            yield "example $number" => [$code];
        }
    }

    /**
     * @dataProvider files
     */
    public function testAnExampleIsAFileOfTheSampleApplication(string $file): void
    {
        self::assertStringContainsString('```php' . "\n" . file_get_contents(self::ROOT . "/tests/sample-app/$file") . '```', self::page());
    }

    /** @return iterable<string, array{string}> */
    public static function files(): iterable
    {
        foreach (['src/Shop.php', 'src/Closed.php', 'tests/PurchaseTest.php', 'tests/pest/PurchaseTest.php', 'tests/laravel/OrderTest.php', 'tests/doctrine/AccountTest.php'] as $file) {
            yield $file => [$file];
        }
    }

    public function testTheFirstStepsLeadToATestThatPasses(): void
    {
        $place = new Workplace();
        // In place of Composer: what it would have made of composer.json.
        $place->write('vendor/autoload.php', self::autoload() . "spl_autoload_register(static fn(string \$class) => str_starts_with(\$class, 'Shop\\\\') ? require __DIR__ . '/../src/' . substr(\$class, 5) . '.php' : null);\n");
        $place->write('vendor/bin/phpunit', "#!/bin/sh\nexec php /usr/bin/phpunit\n");
        $place->run('chmod +x vendor/bin/phpunit');
        (new Page('testing.md'))->follow('A test', $place, '/\A(You have|\*\*1\. |\*\*5\. )/');

        $outcome = $place->shell('vendor/bin/phpunit', self::environment('SHOP_TEST'));

        self::assertSame(0, $outcome->exitCode, $outcome->stdout . $outcome->stderr);
        preg_match('/^It says `(.*?)`/m', self::page(), $promise);
        self::assertStringContainsString($promise[1], $outcome->stdout);
    }

    public function testTheLinesAboutTheClusterDoWhatTheySay(): void
    {
        $page = new Page('testing.md');
        $server = self::server();
        $code = strtr($page->first('The cluster'), ["'127.0.0.1', 5432" => "'" . Postgres::HOST . "', $server->port"])
            . $page->first('A failover at a given statement')
            . 'echo json_encode([HaDsn::topology()->members[1]->role, HaDsn::topology()->members[2]->lag, $cluster->armed()]);';

        $outcome = Php::run(substr(self::autoload(), strlen('<?php')) . $code);

        $armed = ['before INSERT INTO purchase', 'after COMMIT', 'before UPDATE account', 'after /nextval/i'];
        self::assertSame([0, json_encode(['sync_standby', 4096, $armed]), ''], [$outcome->exitCode, $outcome->stdout, $outcome->stderr]);
    }

    public function testTheLinesAboutErrorsDoWhatTheySay(): void
    {
        [$imports, $lines] = explode("\n\n", (new Page('testing.md'))->first('Without a database'), 2);
        $place = new Workplace();
        $place->write('autoload.php', self::autoload() . "interface Orders { public function place(): void; }\n");
        $place->write('OrdersTest.php', <<<PHP
            <?php
            $imports
            final class OrdersTest extends PHPUnit\Framework\TestCase
            {
                public function testIt(): void
                {
                    $lines
                    \$this->expectException(PDOException::class);
                    \$this->expectExceptionMessage('server closed the connection unexpectedly');
                    \$orders->place();
                }
            }
            PHP);

        $outcome = $place->shell('php /usr/bin/phpunit --bootstrap autoload.php OrdersTest.php');

        self::assertStringContainsString('OK (1 test', $outcome->stdout, $outcome->stderr);
    }

    /**
     * @dataProvider classes
     *
     * @param class-string $class
     */
    public function testEverythingPublicIsDocumented(string $class): void
    {
        foreach ((new \ReflectionClass($class))->getMethods() as $method) {
            $isForUsers = $method->isPublic() || $method->isProtected() && $class === InteractsWithFailover::class;
            if ($isForUsers && !$method->isConstructor() && !str_contains((string) $method->getDocComment(), '@internal') && $method->name !== 'isRunning') {
                self::assertMatchesRegularExpression("/\\b$method->name\\(/", self::page(), $method->name);
            }
        }
    }

    /** @return iterable<string, array{class-string}> */
    public static function classes(): iterable
    {
        foreach ([FakeCluster::class, Ambush::class, InteractsWithFailover::class, PdoErrors::class] as $class) {
            yield $class => [$class];
        }
    }

    /** What Composer's autoloader would do, as a file of PHP. */
    private static function autoload(): string
    {
        return "<?php\nrequire " . var_export(dirname(__DIR__) . '/Connection/autoload.php', true) . ";\n";
    }

    /** @return array<string, string> */
    private static function environment(string $prefix): array
    {
        return ["{$prefix}_HOST" => Postgres::HOST, "{$prefix}_PORT" => (string) self::server()->port];
    }

    private static function page(): string
    {
        return (string) file_get_contents(self::ROOT . '/docs/testing.md');
    }
}
