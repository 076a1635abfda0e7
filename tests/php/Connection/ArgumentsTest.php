<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\ConfigException;
use HaDsn\Connection;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Php;
use PDO;

/**
 * What Connection is made of, and what it shows of that.
 */
final class ArgumentsTest extends ConnectionTestCase
{
    public function testItIsTheContracts(): void
    {
        $constructor = new \ReflectionMethod(Connection::class, '__construct');
        $describe = static fn(\ReflectionParameter $parameter): string => "{$parameter->getType()} \${$parameter->getName()} = " . var_export($parameter->getDefaultValue(), true);

        self::assertSame([
            '?string $username = NULL',
            '?string $password = NULL',
            '?array $options = NULL',
            "string \$cluster = 'default'",
            '?Psr\Log\LoggerInterface $logger = NULL',
        ], array_map($describe, $constructor->getParameters()));
        self::assertSame(['SensitiveParameter'], array_map(static fn(\ReflectionAttribute $attribute): string => $attribute->getName(), $constructor->getParameters()[1]->getAttributes()));
        self::assertTrue((new \ReflectionClass(Connection::class))->isFinal());
    }

    public function testNothingIsConnectedBeforeItIsUsed(): void
    {
        \HaDsn::configure('patroni://127.0.2.1/app');

        self::assertLessThan(0.5, self::seconds(static fn() => new Connection('app', 'app')));
    }

    public function testTheSourcesCredentialsAreTakenWhereNoneAreGiven(): void
    {
        \HaDsn::configure(strtr(Lab::URL, ['//' => '//app:app@']));

        self::assertSame('app', Lab::ask((new Connection())->writer(), 'SELECT current_user'));
    }

    public function testOptionsReachPdo(): void
    {
        $options = [PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_OBJ, PDO::ATTR_STRINGIFY_FETCHES => true, PDO::ATTR_CASE => PDO::CASE_UPPER, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION];
        $db = new Connection('app', 'app', $options);

        self::assertSame(PDO::FETCH_OBJ, $db->writer()->getAttribute(PDO::ATTR_DEFAULT_FETCH_MODE));
        // And what it asks itself does not depend on them.
        self::assertSame('1', $db->run(static fn(PDO $pdo) => $pdo->query('SELECT 1 AS one')->fetch()->ONE, 'reader'));
        self::assertSame('1', $db->transaction(static fn(PDO $pdo) => $pdo->query('SELECT 1 AS one')->fetch()->ONE));
        self::assertNotNull($db->position());
    }

    /**
     * @dataProvider quietModes
     */
    public function testOptionsThatTurnExceptionsOffAreRefused(int $mode): void
    {
        self::assertThrows(ConfigException::class, static fn() => new Connection('app', 'app', [PDO::ATTR_ERRMODE => $mode]), 'option PDO::ATTR_ERRMODE: expected PDO::ERRMODE_EXCEPTION');
    }

    /** @return iterable<string, array{int}> */
    public static function quietModes(): iterable
    {
        yield 'silent' => [PDO::ERRMODE_SILENT];
        yield 'warning' => [PDO::ERRMODE_WARNING];
    }

    public function testPersistentConnectionsWork(): void
    {
        $options = [PDO::ATTR_PERSISTENT => true];
        $db = new Connection('app', 'app', $options);
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use (&$runs): void {
            $pdo->exec(self::INSERT . '(1)');
            if (++$runs === 1) {
                $pdo->exec(self::END_OF_THIS_CONNECTION);
            }
        });

        self::assertSame(2, $runs);
        self::assertSame([1], self::entries());
    }

    public function testThePasswordIsShownNowhere(): void
    {
        // PHPUnit's own frames show the data of all tests: it must be in none of them.
        $password = 'hunter-' . bin2hex(random_bytes(8));
        $db = new Connection('app', $password);
        $thrown = self::thrown(static fn() => $db->writer());
        ob_start();
        var_dump($db);
        $dump = ob_get_clean();

        foreach ([(string) $thrown, print_r($thrown->getTrace(), true), print_r($db, true), var_export($db, true), $dump, json_encode($db), print_r((array) $db, true)] as $shown) {
            self::assertStringNotContainsString($password, $shown);
        }
        self::assertThrows(\Exception::class, static fn() => serialize($db), 'not allowed');
        self::assertThrows(\Error::class, static fn() => clone $db, '__clone');
    }

    public function testPsrLogIsNotNeededWithoutALogger(): void
    {
        $outcome = Php::run(sprintf(
            <<<'PHP'
                spl_autoload_register(static function (string $class): void {
                    if (!str_starts_with($class, 'HaDsn\\')) {
                        throw new Exception("$class was asked for");
                    }
                    require %s . strtr(substr($class, 6), '\\', '/') . '.php';
                });
                HaDsn::configure(%s);
                $db = new HaDsn\Connection('app', 'app');
                $runs = 0;
                $db->transaction(static function (PDO $pdo) use (&$runs): void {
                    if (++$runs === 1) {
                        $pdo->exec('SELECT pg_terminate_backend(pg_backend_pid())');
                    }
                });
                echo $runs;
                PHP,
            var_export(dirname(__DIR__, 3) . '/php/', true),
            var_export(Lab::URL, true),
        ));

        self::assertSame([0, '2', ''], [$outcome->exitCode, $outcome->stdout, $outcome->stderr]);
    }
}
