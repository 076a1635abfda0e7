<?php

declare(strict_types=1);

namespace HaDsn\Tests\Testing;

use HaDsn\Testing\Ambush;
use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\InteractsWithFailover;
use HaDsn\Testing\PdoErrors;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Process;

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
        self::assertStringContainsString('```php' . "\n" . file_get_contents(self::ROOT . "/tests/sample-app/tests/$file") . '```', self::page());
    }

    /** @return iterable<string, array{string}> */
    public static function files(): iterable
    {
        foreach (['pest/PurchaseTest.php', 'laravel/OrderTest.php'] as $file) {
            yield $file => [$file];
        }
    }

    public function testTheExampleForPhpunitRuns(): void
    {
        $example = array_values([...self::examples()])[0][0];
        self::assertStringContainsString('final class PurchaseTest extends TestCase', $example);
        $server = self::server();
        $server->connect()->exec((string) file_get_contents(self::ROOT . '/tests/sample-app/schema.sql'));
        $directory = new Directory();
        $sample = realpath(self::ROOT . '/tests/sample-app');
        $file = $directory->write('PurchaseTest.php', "<?php\nuse Shop\\Shop;\n" . strtr($example, ["'127.0.0.1', 5432" => "'127.0.0.40', $server->port"]));

        $outcome = (new Process(
            [...\HaDsn\Tests\Support\Php::command(), '/usr/bin/phpunit', '--no-configuration', '--bootstrap', "$sample/tests/bootstrap.php", '--do-not-cache-result', $file],
            ['SHOP_TEST_HOST' => '127.0.0.40', 'SHOP_TEST_PORT' => (string) $server->port],
        ))->wait(60.0);

        self::assertSame(0, $outcome->exitCode, $outcome->stdout . $outcome->stderr);
        self::assertStringContainsString('OK (2 tests', $outcome->stdout);
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

    private static function page(): string
    {
        return (string) file_get_contents(self::ROOT . '/docs/testing.md');
    }
}
