<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;

final class ArgumentsTest extends UnitTestCase
{
    /**
     * @dataProvider wrongCalls
     *
     * @param class-string<\Throwable> $class
     */
    public function testAWrongCallIsRefusedAsPhpsOwnFunctionsDo(callable $call, string $class, string $message): void
    {
        $thrown = self::thrown($call);

        self::assertSame($class, $thrown::class);
        self::assertStringContainsString($message, $thrown->getMessage());
        self::assertSame(__FILE__, $thrown->getFile());
    }

    /** @return iterable<string, array{callable, class-string<\Throwable>, string}> */
    public static function wrongCalls(): iterable
    {
        yield 'configure without sources' => [
            static fn() => HaDsn::configure(),
            \ArgumentCountError::class,
            'HaDsn::configure() expects at least 1 argument, 0 given',
        ];
        yield 'configure with three' => [
            static fn() => HaDsn::configure('a', 'b', 'c'),
            \ArgumentCountError::class,
            'at most 2 arguments, 3 given',
        ];
        yield 'writer with two' => [
            static fn() => HaDsn::writer('default', 'x'),
            \ArgumentCountError::class,
            'HaDsn::writer() expects at most 1 argument, 2 given',
        ];
        yield 'reader with four' => [
            static fn() => HaDsn::reader('default', null, null, 1),
            \ArgumentCountError::class,
            'at most 3 arguments, 4 given',
        ];
        yield 'conninfo with three' => [
            static fn() => HaDsn::conninfo('writer', 'default', 1),
            \ArgumentCountError::class,
            'at most 2 arguments, 3 given',
        ];
        yield 'invalidate with two' => [
            static fn() => HaDsn::invalidate('default', 1),
            \ArgumentCountError::class,
            'at most 1 argument, 2 given',
        ];
        yield 'topology with two' => [
            static fn() => HaDsn::topology('default', 1),
            \ArgumentCountError::class,
            'at most 1 argument, 2 given',
        ];
        yield 'status with one' => [static fn() => HaDsn::status(1), \ArgumentCountError::class, 'expects exactly 0 arguments, 1 given'];

        yield 'sources as a list' => [
            static fn() => HaDsn::configure([]),
            \TypeError::class,
            'Argument #1 ($sources) must be of type string, array given',
        ];
        yield 'sources as null' => [
            static fn() => HaDsn::configure(null),
            \TypeError::class,
            'Argument #1 ($sources) must be of type string, null given',
        ];
        yield 'cluster as a number' => [
            static fn() => HaDsn::writer(1),
            \TypeError::class,
            'Argument #1 ($cluster) must be of type string, int given',
        ];
        yield 'cluster as null' => [
            static fn() => HaDsn::writer(null),
            \TypeError::class,
            'Argument #1 ($cluster) must be of type string, null given',
        ];
        yield 'cluster as an object' => [
            static fn() => HaDsn::reader(new \stdClass()),
            \TypeError::class,
            'Argument #1 ($cluster) must be of type string, stdClass given',
        ];
        yield 'lag as a text' => [
            static fn() => HaDsn::reader('default', '5'),
            \TypeError::class,
            'Argument #2 ($maxLag) must be of type ?int, string given',
        ];
        yield 'lag as a fraction' => [
            static fn() => HaDsn::reader('default', 1.5),
            \TypeError::class,
            'Argument #2 ($maxLag) must be of type ?int, float given',
        ];
        yield 'after as a number' => [
            static fn() => HaDsn::reader('default', null, 1),
            \TypeError::class,
            'Argument #3 ($after) must be of type ?string, int given',
        ];
        yield 'role as a boolean' => [
            static fn() => HaDsn::conninfo(true),
            \TypeError::class,
            'Argument #1 ($role) must be of type string, ' . (PHP_VERSION_ID < 80300 ? 'bool' : 'true') . ' given',
        ];
        yield 'topology of a list' => [
            static fn() => HaDsn::topology([]),
            \TypeError::class,
            'Argument #1 ($cluster) must be of type string, array given',
        ];
        yield 'invalidate a number' => [
            static fn() => HaDsn::invalidate(1.0),
            \TypeError::class,
            'Argument #1 ($cluster) must be of type string, float given',
        ];

        yield 'an unknown name' => [static fn() => HaDsn::writer(claster: 'a'), \Error::class, 'Unknown named parameter $claster'];
        yield 'an instance' => [static fn() => new HaDsn(), \Error::class, 'Call to private HaDsn::__construct()'];
        yield 'a topology of one\'s own' => [
            static fn() => new HaDsn\Topology(),
            \Error::class,
            'Call to private HaDsn\Topology::__construct()',
        ];
        yield 'a member of one\'s own' => [
            static fn() => new HaDsn\Member(),
            \Error::class,
            'Call to private HaDsn\Member::__construct()',
        ];
    }

    public function testArgumentsCanBeNamedAndLeftOut(): void
    {
        HaDsn::configure(cluster: 'named', sources: self::url($this->cluster(...Nodes::healthy())));

        self::assertSame(HaDsn::writer('named'), HaDsn::writer(cluster: 'named'));
        self::assertSame('127.0.2.1', self::host(HaDsn::conninfo(cluster: 'named')));
        self::assertSame('named', HaDsn::topology(cluster: 'named')->cluster);

        HaDsn::configure(self::url($this->cluster(Nodes::leader(), Nodes::replica(more: ['lag' => 10]))));
        self::assertSame('127.0.2.1', self::host(HaDsn::reader(maxLag: 9)));
        self::assertSame('127.0.2.2', self::host(HaDsn::reader(maxLag: 10)));
        self::assertSame('127.0.2.2', self::host(HaDsn::reader(after: null)));
        self::assertSame('127.0.2.2', self::host(HaDsn::conninfo(role: 'reader')));
    }

    public function testWithoutStrictTypesArgumentsAreConverted(): void
    {
        $url = self::url($this->cluster(Nodes::leader(), Nodes::replica(more: ['lag' => 10])));
        $code = <<<'PHP'
            final class Text {
                public function __construct(private string $text) {}
                public function __toString(): string { return $this->text; }
            }
            HaDsn::configure(new Text(getenv('SOURCES')), new Text('orders'));
            $cluster = 'orders';
            $reference = &$cluster;
            echo json_encode([HaDsn::writer(new Text('orders')), HaDsn::reader($reference, '10'), HaDsn::reader('orders', 9.0)]);
            PHP;
        $hosts = array_map(self::host(...), Php::run($code, env: ['SOURCES' => $url])->json());

        self::assertSame(['127.0.2.1', '127.0.2.2', '127.0.2.1'], $hosts);
    }

    /**
     * @dataProvider badClusterNames
     */
    public function testABadClusterNameIsRefusedEverywhere(string $name): void
    {
        $calls = [
            static fn() => HaDsn::configure('patroni://127.0.0.1/app', $name),
            static fn() => HaDsn::writer($name),
            static fn() => HaDsn::reader($name),
            static fn() => HaDsn::conninfo('writer', $name),
            static fn() => HaDsn::topology($name),
            static fn() => HaDsn::invalidate($name),
        ];
        foreach ($calls as $call) {
            $thrown = self::assertThrows(HaDsn\ConfigException::class, $call, 'cluster "', 'a-z');
            self::assertDoesNotMatchRegularExpression('/[\x00-\x1f]/', $thrown->getMessage());
        }
    }

    /** @return iterable<string, array{string}> */
    public static function badClusterNames(): iterable
    {
        yield 'empty' => [''];
        yield 'a capital letter' => ['Orders'];
        yield 'a digit first' => ['1orders'];
        yield 'an underscore first' => ['_orders'];
        yield 'a hyphen' => ['my-orders'];
        yield 'a dot' => ['my.orders'];
        yield 'a space' => ['my orders'];
        yield 'a newline' => ["orders\n"];
        yield 'a NUL byte' => ["orders\0"];
        yield 'a letter beyond ASCII' => ['größe'];
        yield 'no UTF-8' => ["\xff\xfe"];
        yield 'the word that means a file' => ['file'];
        yield 'the ending that means a file' => ['orders_file'];
    }

    public function testAClusterThatNobodyConfiguredIsNamedWithTheWaysToDoIt(): void
    {
        self::assertThrows(
            HaDsn\ConfigException::class,
            static fn() => HaDsn::writer('unheard_of'),
            'cluster "unheard_of"',
            'HaDsn::configure()',
            'HADSN_URL_UNHEARD_OF',
            'hadsn.url.unheard_of',
        );
    }

    public function testABadRoleLagOrTokenIsRefused(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));

        foreach (['', 'Writer', 'leader', 'reader ', "writer\0"] as $role) {
            self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::conninfo($role), 'role "', 'writer', 'reader');
        }
        foreach ([-1, PHP_INT_MIN] as $lag) {
            self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::reader(maxLag: $lag), (string) $lag);
        }
        foreach (['', '0/0', "x\0y"] as $token) {
            self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::reader(after: $token), 'token');
        }
        self::assertStringStartsWith('pgsql:', HaDsn::reader(maxLag: PHP_INT_MAX));
    }

    public function testATopologyCanNotBeChanged(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));
        $topology = HaDsn::topology();

        self::assertThrows(\Error::class, static fn() => $topology->epoch = 1, 'readonly property HaDsn\Topology::$epoch');
        self::assertThrows(\Error::class, static fn() => $topology->members[] = 1, 'readonly property HaDsn\Topology::$members');
        self::assertThrows(\Error::class, static fn() => $topology->leader->host = 'evil', 'readonly property HaDsn\Member::$host');
        self::assertThrows(
            \Error::class,
            static function () use ($topology): void {
                unset($topology->source);
            },
            'readonly property HaDsn\Topology::$source',
        );
        self::assertSame('127.0.2.1', HaDsn::topology()->leader?->host);
    }
}
