<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * The text that configures a cluster: what is refused, and what the message says.
 */
final class SourceStringTest extends UnitTestCase
{
    /**
     * @dataProvider malformedSources
     */
    public function testAMalformedSourceIsRefusedAndNamed(string $sources, string ...$texts): void
    {
        $thrown = self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::configure($sources), ...$texts);

        self::assertDoesNotMatchRegularExpression('/[\x00-\x1f]/', $thrown->getMessage(), 'one line of text');
        self::assertLessThan(1000, strlen($thrown->getMessage()));
    }

    /** @return iterable<string, list<string>> */
    public static function malformedSources(): iterable
    {
        yield 'nothing' => ['', 'no source'];
        yield 'white space' => [" \t\n ", 'no source'];
        yield 'a word' => ['nonsense', 'source 1', 'patroni://'];
        yield 'a host and a port' => ['10.0.0.1:8008', 'source 1', 'patroni://'];
        yield 'a single slash' => ['patroni:/10.0.0.1', 'source 1'];
        yield 'no host' => ['patroni://', 'source 1', 'host'];
        yield 'no host in front of the database' => ['patroni:///app', 'source 1', 'host'];
        yield 'an unknown scheme' => ['http://10.0.0.1/app', 'source 1', '"http"', 'patroni'];
        yield 'a scheme in capitals' => ['PATRONI://10.0.0.1/app', '"PATRONI"'];
        yield 'postgres without ql' => ['postgres://10.0.0.1/app', '"postgres"', 'postgresql'];
        yield 'a NUL byte' => ["patroni://10.0.0.1/app\0", 'NUL'];
        yield 'a NUL byte first' => ["\0", 'NUL'];
        yield 'no UTF-8' => ["patroni://10.0.0.1/\xff", 'UTF-8'];
        yield 'more than 64 KiB' => ['patroni://10.0.0.1/' . str_repeat('x', 65536), '64 KiB'];
        yield 'a fragment' => ['patroni://10.0.0.1/app#x', 'source 1', '#'];
        yield 'two databases' => ['patroni://10.0.0.1/app/other', 'source 1', '/'];
        yield 'a bad second source' => ['patroni://10.0.0.1/app patroni://', 'source 2'];
        yield 'a bad third source' => ["patroni://10.0.0.1/app\npatroni://b\tgopher://c", 'source 3', 'scheme'];
        yield 'options on the second source' => ['patroni://10.0.0.1/app patroni://b?ttl=5s', 'source 2', 'ttl', 'first'];
        yield 'credentials on the second source' => ['patroni://10.0.0.1/app patroni://u:p@b', 'source 2', 'credentials', 'first'];
        yield 'another database on the second source' => ['patroni://10.0.0.1/app patroni://b/other', 'source 2', 'database', 'first'];
        yield 'a user without a name' => ['patroni://@10.0.0.1/app', 'source 1', 'user'];
        yield 'a half percent sign' => ['patroni://10.0.0.1/a%2', 'source 1', '%'];
        yield 'a lone percent sign' => ['patroni://10.0.0.1/100%', 'source 1', '%'];
        yield 'an encoded NUL byte' => ['patroni://10.0.0.1/a%00b', 'source 1', 'NUL'];
        yield 'encoded bytes that are not UTF-8' => ['patroni://10.0.0.1/a%ff', 'source 1', 'UTF-8'];
        yield 'an option without a value' => ['patroni://10.0.0.1/app?ttl', 'option "ttl"', 'name=value'];
        yield 'an empty option' => ['patroni://10.0.0.1/app?ttl=5s&', 'option ""', 'name=value'];
        yield 'an option without a name' => ['patroni://10.0.0.1/app?=5s', 'option'];
    }

    /**
     * @dataProvider badHosts
     */
    public function testABadHostOrPortIsRefusedAndNamed(string $host): void
    {
        $shown = addcslashes($host, "\n\"\\");
        self::assertThrows(
            HaDsn\ConfigException::class,
            static fn() => HaDsn::configure("patroni://10.0.0.1,$host/app"),
            'source 1',
            'host',
            "\"$shown\"",
        );
    }

    /** @return iterable<string, array{string}> */
    public static function badHosts(): iterable
    {
        $hosts = [
            '', '.', '*', '-a', 'a-', 'a..b', 'a;b', 'a=b', "a'b", 'a"b', 'a\\b', 'a%20b', 'bücher.example', str_repeat('a', 64),
            ':', ':8008', 'a:', 'a:0', 'a:65536', 'a:99999999999', 'a:1:2',
            '1', '10.0.0', '256.1.1.1', '::1', '[::1', '[10.0.0.1]', '[x]', '[::1]5', '[::1]:', '[::1]:0', '[fe80::1%25eth0]',
        ];
        foreach ($hosts as $host) {
            yield "\"$host\"" => [$host];
        }
    }

    /**
     * @dataProvider badPorts
     */
    public function testAPortThatIsNoNumberIsNamedByItsHost(string $port): void
    {
        // Where somebody has forgotten the @, it is the password.
        $thrown = self::assertThrows(
            HaDsn\ConfigException::class,
            static fn() => HaDsn::configure("patroni://db1:$port/app"),
            'source 1: host "db1',
            'port',
        );
        self::assertStringNotContainsString('hunter2', $thrown->getMessage());
    }

    /** @return iterable<string, array{string}> */
    public static function badPorts(): iterable
    {
        foreach (['hunter2', 'x', '-1', '+1', '80x', '5432hunter2'] as $port) {
            yield $port => [$port];
        }
    }

    /**
     * @dataProvider badOptions
     */
    public function testABadOptionIsRefusedWithItsNameAndItsText(string $name, string $value): void
    {
        $url = "patroni://10.0.0.1/app?$name=" . rawurlencode($value);
        $thrown = self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::configure($url), "option $name: ");

        self::assertStringContainsString('"' . addcslashes($value, '"\\') . '"', $thrown->getMessage());
        self::assertMatchesRegularExpression('/": \w+ \w+/', $thrown->getMessage(), 'and with what is wrong');
    }

    /** @return iterable<string, array{string, string}> */
    public static function badOptions(): iterable
    {
        $durations = [
            '', '5', '0', 's', '-1s', '+1s', '1.5s', '1 s', ' 1s', '1s ', '1S', '1h', '1d', '1us', '1sec', 'ms', '5s5', '1441m',
            '99999999999999999999s', 'forever',
        ];
        foreach (['poll', 'ttl', 'max_stale', 'timeout', 'hedge', 'connect_timeout', 'failover_timeout'] as $name) {
            foreach ($durations as $value) {
                yield "$name=$value" => [$name, $value];
            }
        }
        $more = [
            'poll' => ['0s'],
            'timeout' => ['0ms'],
            'connect_timeout' => ['0s'],
            'max_waiters' => ['', '0', '-1', '+5', 'x', '1.5', '99999999999'],
            'max_lag' => [
                '', '-1', '+1', '1.5MB', '1 MB', 'MB', '1M', '1mb', '1kib', '1PiB', '9223372036854775808', '16777216TiB', 'x',
                'none',
            ],
            'reader' => ['', 'fastest', 'Random', 'roundrobin'],
            'reader_fallback' => ['', 'none', 'leader', 'on'],
            'reader_sync' => ['', 'yes', 'true', '1', 'ON'],
            'port' => ['', '0', '65536', '-1', '+5432', '5432x', ' 5432', '5.4'],
            'map' => ['', 'a', 'a=', '=b', 'a=b,', ',a=b', 'a=b=c', 'a=b:0', 'a:x=b', 'a=b;c', "a='b", 'a=b,a=c'],
            'allow_hosts' => [
                '', ',', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/+8', '10.0.0/8', '::/129', '.10.0.0.1', '*.example.com', 'a b',
                '10.0.0.0/8,',
            ],
            'nameserver' => ['', 'a;b', '127.0.0.1:0', '::1'],
            'patroni_cafile' => [''],
            'patroni_cert' => [''],
            'patroni_key' => [''],
            'proof' => ['', 'maybe', 'on', 'Ledger'],
            'sslmode' => ['', 'on', 'verify_full', 'REQUIRE'],
            'channel_binding' => ['', 'on'],
            'gssencmode' => ['', 'on'],
            'sslrootcert' => [''],
            'passfile' => [''],
            'application_name' => [''],
            'tcp_user_timeout' => ['', '5s', '-1', '+1', '1.5', '99999999999'],
            'keepalives_idle' => ['', '10s', '-1', 'x'],
            'keepalives_interval' => ['', '3s', '-1', 'x'],
            'keepalives_count' => ['', '3x', '-1', 'x'],
        ];
        foreach ($more as $name => $values) {
            foreach ($values as $value) {
                yield "$name=$value" => [$name, $value];
            }
        }
    }

    /**
     * @dataProvider unknownOptions
     */
    public function testAnUnknownOptionIsRefusedWithTheListOfKnownOnes(string $name): void
    {
        self::assertThrows(
            HaDsn\ConfigException::class,
            static fn() => HaDsn::configure("patroni://10.0.0.1/app?$name=1"),
            "unknown option \"$name\"",
            'failover_timeout',
            'application_name',
        );
    }

    /** @return iterable<string, array{string}> */
    public static function unknownOptions(): iterable
    {
        // Among them what a DSN consists of: no option may overrule what hadsn has found.
        $names = [
            'tll', 'TTL', 'ttl%20', 'host', 'hostaddr', 'dbname', 'user', 'password', 'target_session_attrs', 'service', 'load_balance_hosts',
        ];
        foreach ($names as $name) {
            yield $name => [$name];
        }
    }

    /**
     * @dataProvider repeatedOptions
     */
    public function testARepeatedOptionIsRefused(string $options, string $name): void
    {
        self::assertThrows(
            HaDsn\ConfigException::class,
            static fn() => HaDsn::configure("patroni://10.0.0.1/app?$options"),
            "option $name",
            'twice',
        );
    }

    /** @return iterable<string, array{string, string}> */
    public static function repeatedOptions(): iterable
    {
        yield 'with another value' => ['ttl=5s&poll=1s&ttl=6s', 'ttl'];
        yield 'with the same value' => ['sslmode=require&sslmode=require', 'sslmode'];
        yield 'the password of Patroni' => ['patroni_user=u&patroni_password=hunter2&patroni_password=hunter2', 'patroni_password'];
    }

    /**
     * @dataProvider halfCredentials
     */
    public function testCredentialsOfPatroniThatCanNotBeSentAreRefused(string $options, string $name, string $what): void
    {
        self::assertThrows(
            HaDsn\ConfigException::class,
            static fn() => HaDsn::configure("patroni://10.0.0.1/app?$options"),
            "option $name: ",
            $what,
        );
    }

    /** @return iterable<string, array{string, string, string}> */
    public static function halfCredentials(): iterable
    {
        yield 'a user alone' => ['patroni_user=u', 'patroni_user', 'patroni_password'];
        yield 'a password alone' => ['patroni_password=p', 'patroni_password', 'patroni_user'];
        yield 'an empty user' => ['patroni_user=&patroni_password=p', 'patroni_user', 'user name'];
        yield 'a user with a colon' => ['patroni_user=a:b&patroni_password=p', 'patroni_user', 'colon'];
    }

    /**
     * @dataProvider laterParts
     */
    public function testWhatIsNotAvailableYetSaysSo(string $sources, string $what): void
    {
        self::assertThrows(
            HaDsn\ConfigException::class,
            static fn() => HaDsn::configure($sources),
            $what,
            'not available in hadsn',
            'yet',
        );
    }

    /** @return iterable<string, array{string, string}> */
    public static function laterParts(): iterable
    {
        foreach (['max_waiters=5', 'proof=ledger', 'proof=xid'] as $option) {
            yield $option => ["patroni://10.0.0.1/app?$option", explode('=', $option)[0]];
        }
    }

    /**
     * @dataProvider badTls
     */
    public function testTlsOptionsThatCantWorkAreRefused(string $sources, string ...$parts): void
    {
        self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::configure($sources), ...$parts);
    }

    /** @return iterable<string, list<string>> */
    public static function badTls(): iterable
    {
        yield 'a file that is not there' => ['patroni+https://pg/app?patroni_cafile=/no/such/ca.pem', '/no/such/ca.pem', 'no such file'];
        yield 'a file without a certificate' => ['patroni+https://pg/app?patroni_cafile=' . __FILE__, 'SourceStringTest.php', 'no certificate'];
        yield 'a relative path' => ['patroni+https://pg/app?patroni_cafile=ca.pem', 'patroni_cafile', 'absolute path'];
        yield 'a certificate without its key' => ['patroni+https://pg/app?patroni_cert=/cert.pem', 'patroni_cert', 'patroni_key'];
        yield 'a key without its certificate' => ['patroni+https://pg/app?patroni_key=/key.pem', 'patroni_key', 'patroni_cert'];
        yield 'no TLS to use it with' => ['patroni://pg/app?patroni_cafile=/ca.pem', 'patroni_cafile', 'patroni+https://'];
        yield 'no Patroni to use it with' => ['postgresql://pg/app?patroni_cafile=/ca.pem', 'patroni_cafile', 'patroni+https://'];
    }

    /**
     * @dataProvider badSrv
     */
    public function testAnSrvSourceNamesOneDomain(string $sources, string ...$parts): void
    {
        self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::configure($sources), ...$parts);
    }

    /** @return iterable<string, list<string>> */
    public static function badSrv(): iterable
    {
        foreach (['patroni+srv', 'patroni+https+srv', 'postgresql+srv'] as $scheme) {
            yield "$scheme with two names" => ["$scheme://a.example,b.example/app", 'source 1', 'one name'];
            yield "$scheme with a port" => ["$scheme://pg.example:8008/app", 'source 1', 'leave the port out'];
            yield "$scheme with an address" => ["$scheme://10.0.0.1/app", 'source 1', 'no SRV records'];
            yield "$scheme with an IPv6 address" => ["$scheme://[::1]/app", 'source 1', 'no SRV records'];
        }
        yield 'a name server without an address' => ['patroni+srv://pg.example/app?nameserver=', 'nameserver'];
        yield 'a name server with a bad port' => ['patroni+srv://pg.example/app?nameserver=127.0.0.1:0', 'nameserver', '65535'];
    }

    /**
     * @dataProvider goodSources
     */
    public function testAGoodSourceIsAccepted(string $sources, string $shown): void
    {
        HaDsn::configure($sources, 'accepted');

        self::assertSame($shown, HaDsn::status()['clusters']['accepted']['source']);
    }

    /** @return iterable<string, array{string, string}> */
    public static function goodSources(): iterable
    {
        $same = [
            'patroni://10.0.0.1',
            'patroni://10.0.0.1/app',
            'patroni://10.0.0.1:8008,pg-2.example.com,[fd00::1],[::1]:8009/app',
            'patroni://a_b.example.com./app',
            'patroni://10.0.0.1/app patroni://10.0.0.2 patroni://10.0.0.3/app',
            'patroni://10.0.0.1/app?poll=250ms&ttl=0s&max_stale=2m&timeout=1ms&hedge=0ms&connect_timeout=1s&failover_timeout=0s',
            'patroni://10.0.0.1/app?failover_timeout=1440m&max_lag=9223372036854775807',
            'patroni://10.0.0.1/app?max_lag=64KiB&reader=least_lag&reader_fallback=error&reader_sync=on&port=6432&proof=off',
            'patroni://10.0.0.1/app?max_lag=0&map=10.0.0.1=db1.example.com:5433,10.0.0.2:5432=[::1]',
            'patroni://10.0.0.1/app?allow_hosts=10.0.0.0/8,fd00::/8,.example.com,db1',
            'patroni://10.0.0.1/app?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c&sslkey=/k&sslcrl=/l',
            'patroni://10.0.0.1/app?require_auth=scram-sha-256&channel_binding=require',
            'patroni://10.0.0.1/app?passfile=/p&application_name=my%20app&options=-c%20geqo=off&client_encoding=UTF8&gssencmode=disable',
            'patroni://10.0.0.1/app?tcp_user_timeout=0&keepalives_idle=1&keepalives_interval=1&keepalives_count=2147483647',
            'patroni://10.0.0.1/%C3%A4pfel%20und%20birnen?application_name=a+b',
        ];
        foreach ($same as $sources) {
            yield $sources => [$sources, $sources];
        }
        yield 'white space around and between' => ["\n patroni://10.0.0.1/app\r\n\tpatroni://b  ", 'patroni://10.0.0.1/app patroni://b'];
        yield 'credentials' => ['patroni://us%20er:p%40ss%2Fw%3Ard+@10.0.0.1/app', 'patroni://10.0.0.1/app'];
        yield 'credentials of Patroni' => [
            'patroni://10.0.0.1/app?ttl=5s&patroni_user=ada&patroni_password=hunter2&poll=1s',
            'patroni://10.0.0.1/app?ttl=5s&poll=1s',
        ];
    }

    public function testARefusedSourceLeavesWhatWasThere(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));
        $before = HaDsn::writer();

        self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::configure('nonsense'));

        self::assertSame($before, HaDsn::writer());
    }

    public function testConfiguringAsksNobody(): void
    {
        $patroni = $this->patroni(Answer::silence());

        self::configure($patroni);

        self::assertSame(0, $patroni->count());
    }

    public function testTheSecondSourceIsAskedWhenTheFirstIsDead(): void
    {
        $second = $this->cluster(...Nodes::healthy());
        HaDsn::configure(self::url([self::deadAddress(), self::deadAddress()]) . ' patroni://' . $second->address());

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        self::assertSame('patroni://' . $second->address(), HaDsn::topology()->source);
        self::assertSame('patroni ' . $second->address(), HaDsn::status()['clusters']['default']['answered_by']);
    }
}
