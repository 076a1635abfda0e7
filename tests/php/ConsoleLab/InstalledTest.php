<?php

declare(strict_types=1);

namespace HaDsn\Tests\ConsoleLab;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Outcome;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use PHPUnit\Framework\TestCase;

/**
 * `vendor/bin/hadsn` wherever Composer, or somebody without it, has put the package. Composer is the real one, and asks nobody: this
 * repository is the only one that it knows.
 */
final class InstalledTest extends TestCase
{
    private Directory $directory;

    protected function setUp(): void
    {
        $this->directory = new Directory();
    }

    protected function tearDown(): void
    {
        unset($this->directory);
    }

    /**
     * @dataProvider layouts
     *
     * @param array<string, mixed> $options of the path repository
     * @param array<string, mixed> $config
     */
    public function testInAnApplication(array $options, array $config, string $program): void
    {
        $this->require('app', $options, $config);

        self::assertWorks(self::execute([...Php::command(), "{$this->directory->path}/app/$program", 'doctor', '--json', '--source=patroni://127.0.0.1:1/app']));
        // By its name, as at a shell, through the links and proxies that Composer makes.
        self::assertSame(0, self::execute(["{$this->directory->path}/app/$program", '--help'])->exitCode);
    }

    /** @return iterable<string, array{array<string, mixed>, array<string, mixed>, string}> */
    public static function layouts(): iterable
    {
        yield 'the package is a link' => [['symlink' => true], [], 'vendor/bin/hadsn'];
        yield 'the package is a copy' => [['symlink' => false], [], 'vendor/bin/hadsn'];
        yield 'the vendor folder has another name' => [['symlink' => true], ['vendor-dir' => 'libraries/php'], 'libraries/php/bin/hadsn'];
        yield 'the programs lie elsewhere' => [['symlink' => true], ['bin-dir' => 'tools'], 'tools/hadsn'];
        yield 'without a proxy' => [['symlink' => false], ['bin-compat' => 'symlink'], 'vendor/bin/hadsn'];
    }

    public function testInstalledForTheWholeMachine(): void
    {
        $this->require('home', ['symlink' => true], [], 'global');

        $outcome = self::execute([...Php::command(), "{$this->directory->path}/home/vendor/bin/hadsn", 'doctor', '--json', '--source=patroni://127.0.0.1:1/app']);

        self::assertWorks($outcome);
    }

    public function testAnApplicationThatDoesNotLoadDoesNotKeepItFromStarting(): void
    {
        $this->require('app', ['symlink' => true], []);
        $this->directory->write('app/vendor/autoload.php', '<?php throw new RuntimeException("half installed");');

        self::assertWorks(self::execute([...Php::command(), "{$this->directory->path}/app/vendor/bin/hadsn", 'doctor', '--json', '--source=patroni://127.0.0.1:1/app']));
    }

    public function testCopiedWithoutComposer(): void
    {
        self::execute(['cp', '-r', self::package() . '/bin', self::package() . '/php', $this->directory->path]);
        $link = "{$this->directory->path}/link";
        symlink("{$this->directory->path}/bin/hadsn", $link);

        self::assertWorks(self::execute([...Php::command(), $link, 'doctor', '--json', '--source=patroni://127.0.0.1:1/app']));
    }

    /**
     * Has Composer install the package.
     *
     * @param array<string, mixed> $options
     * @param array<string, mixed> $config
     */
    private function require(string $folder, array $options, array $config, string ...$before): void
    {
        $path = "{$this->directory->path}/$folder";
        mkdir($path);
        $this->directory->write("$folder/composer.json", json_encode([
            'repositories' => [['type' => 'path', 'url' => self::package(), 'options' => $options], ['packagist' => false]],
            'minimum-stability' => 'dev',
            'config' => $config + ['sort-packages' => true],
        ], JSON_THROW_ON_ERROR));
        $environment = ['COMPOSER_HOME' => $before === [] ? "{$this->directory->path}/composer" : $path, 'COMPOSER_ALLOW_SUPERUSER' => '1', 'COMPOSER_DISABLE_NETWORK' => '1'];

        $outcome = (new Process(['composer', ...$before, 'require', '--no-interaction', '--no-progress', 'hadsn/hadsn'], $environment, '', $path))->wait(120.0);

        self::assertSame(0, $outcome->exitCode, $outcome->stdout . $outcome->stderr);
    }

    /** @param list<string> $command */
    private static function execute(array $command): Outcome
    {
        return (new Process($command))->wait(60.0);
    }

    private static function assertWorks(Outcome $outcome): void
    {
        self::assertSame([2, ''], [$outcome->exitCode, $outcome->stderr]);
        self::assertContains('endpoint.unreachable', array_column($outcome->json()['findings'], 'id'));
    }

    private static function package(): string
    {
        return dirname(__DIR__, 3);
    }
}
