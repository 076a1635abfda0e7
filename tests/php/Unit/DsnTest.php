<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Libpq;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * The text that PDO and pg_connect() get, letter by letter, and as libpq reads it.
 */
final class DsnTest extends UnitTestCase
{
    public function testTheWriterIsTheLeaderAndHasToTakeWrites(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));

        self::assertSame('pgsql:host=127.0.2.1;port=5432;dbname=app;target_session_attrs=read-write;' . self::TAIL, HaDsn::writer());
    }

    public function testAReaderIsAReplicaAndNeedNotTakeWrites(): void
    {
        self::configure($this->cluster(Nodes::leader(), Nodes::replica()));

        self::assertSame('pgsql:host=127.0.2.2;port=5432;dbname=app;' . self::TAIL, HaDsn::reader());
    }

    public function testConninfoIsTheSameInLibpqsWords(): void
    {
        self::configure($this->cluster(Nodes::leader(), Nodes::replica()));
        $tail = strtr(self::TAIL, ';', ' ');

        self::assertSame("host=127.0.2.1 port=5432 dbname=app target_session_attrs=read-write $tail connect_timeout=3", HaDsn::conninfo());
        self::assertSame(HaDsn::conninfo(), HaDsn::conninfo('writer'));
        self::assertSame("host=127.0.2.2 port=5432 dbname=app $tail connect_timeout=3", HaDsn::conninfo('reader'));
    }

    public function testConninfoHoldsTheCredentialsAndADsnDoesNot(): void
    {
        $patroni = $this->cluster(Nodes::leader(), Nodes::replica());
        HaDsn::configure("patroni://ada:it's%20a%20%5Csecret%3B@{$patroni->address()}/app?connect_timeout=2500ms");

        foreach (['writer', 'reader'] as $role) {
            $read = Libpq::parse(HaDsn::conninfo($role));
            self::assertSame(['ada', "it's a \\secret;", '3'], [$read['user'], $read['password'], $read['connect_timeout']]);
        }
        foreach ([HaDsn::writer(), HaDsn::reader()] as $dsn) {
            self::assertSame([], array_intersect_key(Libpq::parsePdo($dsn), ['user' => 0, 'password' => 0, 'connect_timeout' => 0]));
        }
    }

    public function testAUserWithoutAPasswordIsHandedOnAlone(): void
    {
        HaDsn::configure("patroni://ada@{$this->cluster(...Nodes::healthy())->address()}/app");

        self::assertStringEndsWith(' user=ada', HaDsn::conninfo());
    }

    /**
     * @dataProvider connectTimeouts
     */
    public function testConnectTimeoutIsRoundedUpToWholeSeconds(string $option, string $seconds): void
    {
        self::configure($this->cluster(...Nodes::healthy()), "connect_timeout=$option");

        self::assertSame($seconds, Libpq::parse(HaDsn::conninfo())['connect_timeout']);
    }

    /** @return iterable<string, array{string, string}> */
    public static function connectTimeouts(): iterable
    {
        yield 'below a second' => ['1ms', '1'];
        yield 'whole' => ['2s', '2'];
        yield 'a minute' => ['1m', '60'];
        yield 'between' => ['2001ms', '3'];
    }

    public function testWithoutADatabaseNoneIsNamed(): void
    {
        HaDsn::configure('patroni://' . $this->cluster(...Nodes::healthy())->address());

        self::assertSame('pgsql:host=127.0.2.1;port=5432;target_session_attrs=read-write;' . self::TAIL, HaDsn::writer());
        self::assertStringStartsWith('host=127.0.2.1 port=5432 target_session_attrs=', HaDsn::conninfo());
    }

    public function testLibpqKeywordsGoIntoEveryDsn(): void
    {
        $options = [
            'sslmode' => 'verify-full', 'sslrootcert' => '/etc/ssl/pg ca.pem', 'sslcert' => '/c.pem', 'sslkey' => '/k.pem',
            'sslcrl' => '/l.pem',
            'channel_binding' => 'require', 'passfile' => '/home/ada/.pgpass', 'application_name' => 'web shop',
            'options' => '-c geqo=off -c work_mem=64MB', 'client_encoding' => 'UTF8', 'gssencmode' => 'disable',
            'tcp_user_timeout' => '1500', 'keepalives_idle' => '5', 'keepalives_interval' => '2', 'keepalives_count' => '1',
        ];
        self::configure($this->cluster(Nodes::leader(), Nodes::replica()), self::query($options));

        foreach (['writer' => HaDsn::writer(), 'reader' => HaDsn::reader()] as $role => $dsn) {
            $read = Libpq::parsePdo($dsn);
            foreach ($options as $keyword => $value) {
                self::assertSame($value, $read[$keyword], "$role: $keyword");
            }
            self::assertSame($read, array_diff_key(Libpq::parse(HaDsn::conninfo($role)), ['connect_timeout' => 0]));
        }
    }

    public function testKeywordsStandInADsnInAFixedOrder(): void
    {
        self::configure(
            $this->cluster(...Nodes::healthy()),
            'keepalives_count=9&application_name=shop&sslmode=require&require_auth=scram-sha-256',
        );

        self::assertSame(
            'pgsql:host=127.0.2.1;port=5432;dbname=app;target_session_attrs=read-write;sslmode=require;require_auth=scram-sha-256;'
            . 'application_name=shop;tcp_user_timeout=5000;keepalives_idle=10;keepalives_interval=3;keepalives_count=9',
            HaDsn::writer(),
        );
    }

    /**
     * @dataProvider awkwardTexts
     */
    public function testAnAwkwardDatabaseNameIsQuoted(string $database): void
    {
        $patroni = $this->cluster(Nodes::leader(), Nodes::replica());
        HaDsn::configure(self::url($patroni, database: rawurlencode($database)));

        self::assertOnlyTheDatabaseDiffers($database, Libpq::parsePdo(HaDsn::writer()));
        self::assertOnlyTheDatabaseDiffers($database, Libpq::parsePdo(HaDsn::reader()));
        self::assertOnlyTheDatabaseDiffers($database, Libpq::parse(HaDsn::conninfo()));
    }

    /**
     * @dataProvider awkwardTexts
     */
    public function testAnAwkwardOptionIsQuoted(string $text): void
    {
        self::configure(
            $this->cluster(Nodes::leader(), Nodes::replica()),
            self::query(['application_name' => $text, 'sslrootcert' => $text]),
        );

        foreach ([Libpq::parsePdo(HaDsn::writer()), Libpq::parsePdo(HaDsn::reader()), Libpq::parse(HaDsn::conninfo('reader'))] as $read) {
            self::assertSame([$text, $text, 'app'], [$read['application_name'], $read['sslrootcert'], $read['dbname']]);
        }
    }

    /**
     * @dataProvider awkwardTexts
     */
    public function testAnAwkwardPasswordIsQuoted(string $text): void
    {
        $address = $this->cluster(Nodes::leader(), Nodes::replica())->address();
        HaDsn::configure('patroni://' . rawurlencode($text) . ':' . rawurlencode("$text;") . "@$address/app");

        $read = Libpq::parse(HaDsn::conninfo());

        self::assertSame([$text, "$text;"], [$read['user'], $read['password']]);
    }

    /** @return iterable<string, array{string}> */
    public static function awkwardTexts(): iterable
    {
        $texts = [
            'my shop', ' leading and trailing ', "o'hara", "'", "''", 'say "hi"', '"', 'back\\slash', '\\', "\\'", 'end\\', 'a=b',
            'host=evil', 'x host=evil port=1', "x' host='evil", "x\nhost=evil", "user=x' password='y", str_repeat("'\\ ", 100),
            "two\nlines", "tab\tulator", "\r\n", 'ä ö ü', '日本語', 'a,b', 'a/b', 'a?b&c#d%e', '100%', '$HOME `id`', ':', '*',
        ];
        foreach ($texts as $text) {
            yield substr(addcslashes($text, "\0..\37"), 0, 40) => [$text];
        }
    }

    /**
     * @dataProvider textsWithSemicolons
     */
    public function testASemicolonIsRefusedForPdoAndPassedOnToLibpq(string $text): void
    {
        HaDsn::configure(self::url($this->cluster(Nodes::leader(), Nodes::replica()), database: rawurlencode($text)));

        // PDO turns it into a space, which would be another database.
        foreach ([HaDsn::writer(...), HaDsn::reader(...)] as $call) {
            self::assertThrows(HaDsn\ConfigException::class, $call, 'dbname', '"' . addcslashes($text, '"\\') . '"', 'PDO', 'conninfo()');
        }
        self::assertOnlyTheDatabaseDiffers($text, Libpq::parse(HaDsn::conninfo()));
        self::assertSame($text, Libpq::parse(HaDsn::conninfo('reader'))['dbname']);
    }

    /** @return iterable<string, array{string}> */
    public static function textsWithSemicolons(): iterable
    {
        foreach ([';', 'a;b', 'app;host=evil', "app';host='evil", 'app;', ';app'] as $text) {
            yield $text => [$text];
        }
    }

    public function testASemicolonInAnOptionIsRefusedForPdoToo(): void
    {
        self::configure($this->cluster(Nodes::leader(), Nodes::replica()), 'application_name=a%3Bhost%3Devil');

        self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::writer(), 'application_name', '"a;host=evil"');
        self::assertSame('a;host=evil', Libpq::parse(HaDsn::conninfo())['application_name']);
    }

    public function testAnIpv6AddressStandsWithoutBrackets(): void
    {
        self::configure($this->cluster(Nodes::leader('pg1', '2001:db8::1'), Nodes::replica('pg2', '2001:DB8:0:0::2', ['port' => 6543])));

        self::assertStringStartsWith('pgsql:host=2001:db8::1;port=5432;', HaDsn::writer());
        self::assertStringStartsWith('pgsql:host=2001:db8::2;port=6543;', HaDsn::reader());
        self::assertStringStartsWith('host=2001:db8::1 port=5432 ', HaDsn::conninfo());
    }

    public function testAHostGivenByNameIsHandedOnWithItsAddress(): void
    {
        self::configure($this->cluster(Nodes::leader('pg1', 'localhost')));

        foreach ([Libpq::parsePdo(HaDsn::writer()), Libpq::parse(HaDsn::conninfo())] as $read) {
            self::assertSame('localhost', $read['host']);
            self::assertContains($read['hostaddr'], ['127.0.0.1', '::1']);
        }
        self::assertMatchesRegularExpression('~^pgsql:host=localhost;hostaddr=(127\.0\.0\.1|::1);port=5432;dbname=app;~', HaDsn::writer());
    }

    public function testPdoAndLibpqAreLedToTheSamePlace(): void
    {
        // Nobody listens there: what libpq tried stands in its message.
        $port = (int) explode(':', self::deadAddress())[1];
        self::configure(
            $this->cluster(Nodes::leader('pg1', '127.0.0.1', ['port' => $port])),
            'application_name=' . rawurlencode("it's mine"),
        );

        $thrown = self::assertThrows(
            \PDOException::class,
            static fn() => new \PDO(HaDsn::writer(), 'app', 'app', [\PDO::ATTR_TIMEOUT => 2]),
        );
        self::assertStringContainsString("\"127.0.0.1\", port $port failed", $thrown->getMessage());
        self::assertStringContainsString('refused', $thrown->getMessage());
    }

    /** @param array<string, string> $read */
    private static function assertOnlyTheDatabaseDiffers(string $database, array $read): void
    {
        self::assertSame($database, $read['dbname']);
        self::assertSame([], array_diff_key($read, array_flip([
            'host', 'port', 'dbname', 'target_session_attrs', 'tcp_user_timeout', 'keepalives_idle', 'keepalives_interval',
            'keepalives_count', 'connect_timeout',
        ])));
        self::assertContains($read['host'], ['127.0.2.1', '127.0.2.2']);
        self::assertSame('5432', $read['port']);
    }

    /** @param array<string, string> $options */
    private static function query(array $options): string
    {
        return http_build_query($options, encoding_type: PHP_QUERY_RFC3986);
    }
}
