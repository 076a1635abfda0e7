<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * What Patroni sees of a request.
 */
final class RestApiTest extends UnitTestCase
{
    public function testItIsAskedForTheClusterAndToldWhoAsks(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        HaDsn::configure("patroni://ada:hunter2@{$patroni->address()}/app");
        HaDsn::writer();

        [$request] = $patroni->requests();
        self::assertSame(['GET', '/cluster'], [$request['method'], $request['target']]);
        self::assertSame($patroni->address(), $request['headers']['host']);
        self::assertSame('hadsn/' . (new \ReflectionExtension('hadsn'))->getVersion(), $request['headers']['user-agent']);
        self::assertArrayNotHasKey('authorization', $request['headers'], 'the credentials of the database are not those of Patroni');
    }

    /**
     * @dataProvider credentials
     */
    public function testPatronisCredentialsAreSentAsBasicAuthentication(string $user, string $password): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'patroni_user=' . rawurlencode($user) . '&patroni_password=' . rawurlencode($password));
        HaDsn::writer();

        self::assertSame('Basic ' . base64_encode("$user:$password"), $patroni->requests()[0]['headers']['authorization']);
    }

    /** @return iterable<string, array{string, string}> */
    public static function credentials(): iterable
    {
        yield 'plain' => ['patroni', 'secret'];
        yield 'awkward' => ['ad min', 'p@ss:w/o?r&d=%+ "\''];
        yield 'beyond ASCII' => ['jürgen', '密码'];
        yield 'an empty password' => ['patroni', ''];
        yield 'with line breaks' => ['patroni', "x\r\nX-Evil: 1"];
    }

    public function testEveryEndpointOfASourceGetsThem(): void
    {
        $all = [$this->patroni(Answer::status(503)), $this->cluster(...Nodes::healthy())];
        self::configure($all, 'patroni_user=u&patroni_password=p');
        HaDsn::writer();

        foreach ($all as $patroni) {
            self::assertSame('Basic ' . base64_encode('u:p'), $patroni->requests()[0]['headers']['authorization']);
        }
    }

    public function testARefusalIsReportedWithItsStatus(): void
    {
        $patroni = $this->patroni(Answer::status(401, ['WWW-Authenticate' => 'Basic realm="x"']));
        self::configure($patroni, 'patroni_user=u&patroni_password=p');

        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), "patroni {$patroni->address()}: answered 401");
        self::assertSame(1, $patroni->count());
    }

    /**
     * @dataProvider redirects
     */
    public function testARedirectIsNotFollowed(int $status, string $target): void
    {
        $other = $this->cluster(...Nodes::healthy());
        $patroni = $this->patroni(Answer::redirect(strtr($target, ['OTHER' => $other->address()]), $status));
        self::configure($patroni, 'patroni_user=u&patroni_password=hunter2');

        self::assertThrows(
            HaDsn\DiscoveryException::class,
            static fn() => HaDsn::writer(),
            "patroni {$patroni->address()}: answered $status",
            'redirects',
        );
        self::assertSame([1, 0], [$patroni->count(), $other->count()]);
    }

    /** @return iterable<string, array{int, string}> */
    public static function redirects(): iterable
    {
        foreach ([301, 302, 303, 307, 308] as $status) {
            yield "$status to another server" => [$status, 'http://OTHER/cluster'];
        }
        yield 'to another path' => [302, '/patroni'];
        yield 'to another protocol' => [302, 'file:///etc/passwd'];
    }

    public function testAProxyOfTheEnvironmentIsNotUsed(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        $proxy = $this->patroni(Answer::status(502));
        $env = ['HADSN_URL' => self::url($patroni)];
        foreach (['http_proxy', 'HTTP_PROXY', 'ALL_PROXY', 'all_proxy'] as $name) {
            $env[$name] = "http://{$proxy->address()}";
        }

        self::assertStringStartsWith('pgsql:host=127.0.2.1;', Php::run('echo HaDsn::writer();', env: $env)->stdout);
        self::assertSame(0, $proxy->count());
    }
}
