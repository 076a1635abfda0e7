<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;

final class ExceptionsTest extends UnitTestCase
{
    public function testAnExceptionTellsTheLineOfTheCall(): void
    {
        $line = __LINE__ + 1;
        $thrown = self::thrown(static fn() => HaDsn::configure('nonsense'));

        self::assertSame(__FILE__, $thrown->getFile());
        self::assertSame($line, $thrown->getLine());
        self::assertSame(['function' => 'configure', 'class' => 'HaDsn', 'type' => '::'], array_intersect_key(
            $thrown->getTrace()[0],
            ['function' => 0, 'class' => 0, 'type' => 0],
        ));
        self::assertSame(__FUNCTION__, $thrown->getTrace()[3]['function']);
        self::assertStringContainsString('HaDsn::configure(', $thrown->getTraceAsString());
        self::assertSame(0, $thrown->getCode());
        self::assertNull($thrown->getPrevious());
    }

    public function testAnExceptionIsCaughtAsHadsnsAndAsARuntimeException(): void
    {
        $caught = [];
        try {
            HaDsn::configure('nonsense');
        } catch (HaDsn\Exception $e) {
            $caught[] = $e::class;
        }
        try {
            HaDsn::configure('nonsense');
        } catch (\RuntimeException $e) {
            $caught[] = $e::class;
        }

        self::assertSame([HaDsn\ConfigException::class, HaDsn\ConfigException::class], $caught);
    }

    /**
     * @dataProvider classes
     *
     * @param class-string<\Exception> $class
     */
    public function testAnApplicationCanMakeAndThrowOne(string $class): void
    {
        $previous = new \LogicException('first');
        $line = __LINE__ + 1;
        $made = new $class('a message', 7, $previous);

        self::assertInstanceOf(HaDsn\Exception::class, $made);
        self::assertInstanceOf(\RuntimeException::class, $made);
        self::assertSame(['a message', 7, $previous], [$made->getMessage(), $made->getCode(), $made->getPrevious()]);
        self::assertSame([__FILE__, $line], [$made->getFile(), $made->getLine()]);
        self::assertSame(__FUNCTION__, $made->getTrace()[0]['function']);

        $this->expectExceptionObject($made);
        throw $made;
    }

    /**
     * @dataProvider classes
     *
     * @param class-string<\Exception> $class
     */
    public function testAnApplicationCanExtendOne(string $class): void
    {
        $code = <<<PHP
            final class Own extends $class {
                public function __construct(public readonly string \$hint) { parent::__construct("see \$hint"); }
            }
            try { throw new Own('the manual'); } catch ($class \$e) {
                echo json_encode([\$e::class, \$e->getMessage(), \$e->hint, \$e instanceof HaDsn\Exception, \$e->getLine()]);
            }
            PHP;

        self::assertSame(['Own', 'see the manual', 'the manual', true, 4], Php::run($code)->json());
    }

    /** @return iterable<string, array{class-string<\Exception>}> */
    public static function classes(): iterable
    {
        yield 'configuration' => [HaDsn\ConfigException::class];
        yield 'discovery' => [HaDsn\DiscoveryException::class];
        yield 'no leader' => [HaDsn\NoLeaderException::class];
        yield 'no replica' => [HaDsn\NoReplicaException::class];
    }

    public function testAnApplicationCanImplementTheInterface(): void
    {
        $own = new class ('mine') extends \DomainException implements HaDsn\Exception {};

        self::assertInstanceOf(HaDsn\Exception::class, $own);
        self::assertSame('mine', $own->getMessage());
    }

    public function testNobodyCaughtItAndPhpReportsIt(): void
    {
        $outcome = Php::run("\n\nHaDsn::writer();");

        self::assertSame(255, $outcome->exitCode);
        self::assertStringContainsString('Uncaught HaDsn\ConfigException: cluster "default"', $outcome->stderr);
        self::assertStringContainsString('Command line code:3', $outcome->stderr);
    }
}
