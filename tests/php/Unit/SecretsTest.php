<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * Passwords show up nowhere but in conninfo(), which is there to hold them.
 */
final class SecretsTest extends UnitTestCase
{
    private const CREDENTIALS = 'ada:hunter2@';
    private const OPTIONS = 'patroni_user=grace&patroni_password=swordfish';
    private const SECRETS = '/hunter2|swordfish|ada|grace|aHVudGVy|c3dvcmRmaXNo/';

    /**
     * @dataProvider misplacedPasswords
     */
    public function testAMalformedSourceShowsNoPartOfThePassword(string $sources): void
    {
        $thrown = self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::configure($sources));

        self::assertDoesNotMatchRegularExpression('/hunter2|hunter/', self::everythingAbout($thrown));
    }

    /** @return iterable<string, array{string}> */
    public static function misplacedPasswords(): iterable
    {
        $sources = [
            'patroni://u:hunter2@',
            'patroni://u:hunter2@/app',
            'patroni://u:hunter2@a:0/app',
            'patroni://u:hunter2@a/app/b',
            'patroni://u:hunter2@a/app?tll=5s',
            'patroni://u:hunter2@a/app?ttl=5',
            'patroni://u:hunter2@a/app#x',
            'patroni://u:hunter2@x@a/app',
            'patroni://u:hunter2/x@a/app',
            'patroni://u:x/hunter2@a/app',
            'patroni://u:hunter2?x@a/app',
            'patroni://u:hunter2?x=1@a/app',
            'patroni://u:x?hunter2=1@a/app',
            'patroni://u:x?y&hunter2@a/app',
            'patroni://u:hunter2#x@a/app',
            'patroni://u:x#hunter2@a/app',
            'patroni://u:hunter2 x@a/app',
            'patroni://u:x hunter2@a/app',
            "patroni://u:hunter2\n@a/app",
            'patroni://u:hunter2%@a/app',
            'patroni://u:hunter2%zz@a/app',
            'patroni://u:hunter2%00@a/app',
            'patroni://u:hunter2%ff@a/app',
            "patroni://u:hunter2\0@a/app",
            "patroni://u:hunter2\xff@a/app",
            'patroni://:hunter2@a/app',
            'patroni://u:hunter2@a/app patroni://',
            'patroni://a/app patroni://u:hunter2@b',
            'postgresql://u:hunter2@a:0/app',
            'patroni+https://u:hunter2@a/app/b',
            'patroni+srv://u:hunter2@a,b/app',
            'http://u:hunter2@a/app',
            'u:hunter2://a/app',
            'u:hunter2@a/app',
            'hunter2@a',
            'patroni://u:hunter2',
            'patroni://u:hunter2/app',
            'patroni://u:x hunter2://a/app',
            'patroni://a/app?patroni_user=u&patroni_password=x&hunter2',
            'patroni://a/app?patroni_user=u&patroni_password=x&hunter2=y',
            'patroni://u:hunter2@' . str_repeat('a', 70000),
            'patroni://a/app?patroni_password=hunter2',
            'patroni://a/app?patroni_user=u&patroni_password=hunter2%',
            'patroni://a/app?patroni_user=u&patroni_password=hunter2%00',
            'patroni://a/app?patroni_user=u&patroni_password=hunter2&patroni_password=hunter2',
            'patroni://a/app?patroni_user=u:hunter2&patroni_password=x',
            'patroni://u:hunter2@a/app?patroni_user=u&patroni_password=hunter2&max_waiters=5',
        ];
        foreach ($sources as $sources) {
            // PHPUnit prints the names of data sets.
            yield substr(addcslashes($sources, "\0..\37\177..\377"), 0, 80) => [$sources];
        }
    }

    public function testAStackTraceHidesTheSources(): void
    {
        $thrown = self::thrown(static fn() => HaDsn::configure('patroni://' . self::CREDENTIALS . 'a/app?ttl=5'));

        // Before 8.2 PHP hides arguments all together, or none: see bootstrap.php.
        if (PHP_VERSION_ID >= 80200) {
            self::assertInstanceOf(\SensitiveParameterValue::class, $thrown->getTrace()[0]['args'][0]);
            self::assertStringContainsString('HaDsn::configure(Object(SensitiveParameterValue))', $thrown->getTraceAsString());
        }
        self::assertDoesNotMatchRegularExpression(self::SECRETS, self::everythingAbout($thrown));
    }

    public function testATraceThroughATypeErrorHidesTheSources(): void
    {
        $thrown = self::thrown(static fn() => HaDsn::configure(['patroni://' . self::CREDENTIALS . 'a/app']));

        self::assertInstanceOf(\TypeError::class, $thrown);
        self::assertDoesNotMatchRegularExpression(self::SECRETS, self::everythingAbout($thrown));
    }

    public function testNothingThatHadsnSaysOfAClusterHoldsASecret(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        HaDsn::configure(self::secretUrl($patroni->address()));
        $dsn = [HaDsn::writer(), HaDsn::reader()];
        $topology = HaDsn::topology();

        $said = implode("\n", [...$dsn, self::dump($topology), json_encode($topology), self::dump(HaDsn::status()), self::info()]);

        self::assertDoesNotMatchRegularExpression(self::SECRETS, $said);
        self::assertStringContainsString($patroni->address(), $said);
        self::assertStringContainsString('password=hunter2', HaDsn::conninfo());
    }

    /**
     * @dataProvider failures
     */
    public function testNoFailureShowsASecret(Answer $answer): void
    {
        $patroni = $this->patroni($answer);
        HaDsn::configure(self::secretUrl($patroni->address()) . '&timeout=300ms&failover_timeout=0s');

        $thrown = self::thrown(static fn() => HaDsn::writer());

        self::assertInstanceOf(HaDsn\Exception::class, $thrown);
        self::assertDoesNotMatchRegularExpression(
            self::SECRETS,
            self::everythingAbout($thrown) . self::dump(HaDsn::status()) . self::info(),
        );
    }

    /** @return iterable<string, array{Answer}> */
    public static function failures(): iterable
    {
        yield 'unauthorised' => [Answer::status(401, ['WWW-Authenticate' => 'Basic realm="Patroni"'])];
        yield 'silent' => [Answer::silence()];
        yield 'no JSON' => [Answer::body('<html>')];
        yield 'no leader' => [Answer::members(Nodes::replica())];
        yield 'redirect' => [Answer::redirect('http://ada:hunter2@127.0.0.1/cluster')];
    }

    /**
     * @dataProvider placesOfASetting
     *
     * @param array<string, string> $ini
     * @param array<string, string> $env
     */
    public function testABadSettingIsReportedWithoutItsText(array $ini, array $env): void
    {
        $code = <<<'PHP'
            try { HaDsn::writer(); } catch (HaDsn\ConfigException $e) { echo $e, "\n"; }
            var_dump(HaDsn::status());
            (new ReflectionExtension('hadsn'))->info();
            PHP;
        $outcome = Php::run($code, $ini, $env);

        self::assertSame('', $outcome->stderr);
        self::assertStringContainsString(
            'HaDsn\ConfigException: ' . (array_key_first($ini) ?? array_key_first($env)) . ': option ttl: "5"',
            $outcome->stdout,
        );
        self::assertDoesNotMatchRegularExpression(self::SECRETS, $outcome->stdout);
    }

    /** @return iterable<string, array{array<string, string>, array<string, string>}> */
    public static function placesOfASetting(): iterable
    {
        $url = 'patroni://' . self::CREDENTIALS . '127.0.0.1/app?ttl=5&' . self::OPTIONS;
        yield 'php.ini' => [['hadsn.url' => $url], []];
        yield 'environment' => [[], ['HADSN_URL' => $url]];
    }

    public function testABadFileIsReportedWithoutItsText(): void
    {
        $directory = new Directory();
        $file = $directory->write('url', 'patroni://' . self::CREDENTIALS . '127.0.0.1/app?ttl=5');

        $outcome = Php::run('try { HaDsn::writer(); } catch (HaDsn\ConfigException $e) { echo $e; }', env: ['HADSN_URL_FILE' => $file]);

        self::assertStringContainsString("HADSN_URL_FILE ($file): option ttl: \"5\"", $outcome->stdout);
        self::assertDoesNotMatchRegularExpression(self::SECRETS, $outcome->stdout);
    }

    private static function secretUrl(string $address): string
    {
        return 'patroni://' . self::CREDENTIALS . "$address/app?" . self::OPTIONS;
    }

    /** The message, the trace, and what a debugger would print. */
    private static function everythingAbout(\Throwable $thrown): string
    {
        // The frames of the test itself have the source as an argument.
        $own = array_map(
            static fn(array $frame): array => array_diff_key($frame, ['object' => 0]),
            array_slice($thrown->getTrace(), 0, 1),
        );
        $first = explode("\n", $thrown->getTraceAsString())[0];

        return $thrown->getMessage() . "\n$first\n" . print_r($own, true);
    }

    private static function dump(mixed $value): string
    {
        ob_start();
        var_dump($value);

        return ob_get_clean() . print_r($value, true) . var_export($value, true);
    }

    private static function info(): string
    {
        ob_start();
        (new \ReflectionExtension('hadsn'))->info();

        return (string) ob_get_clean();
    }
}
