<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * What an editor shows is what the extension has.
 */
final class StubsTest extends UnitTestCase
{
    private const STUBS = __DIR__ . '/../../../stubs';

    public function testStubsAndExtensionDeclareTheSameClasses(): void
    {
        self::assertSame(array_keys(self::ofExtension()), array_keys(self::ofStubs()));
    }

    /**
     * @dataProvider classes
     */
    public function testAClassIsTheSameInStubsAndExtension(string $class): void
    {
        self::assertSame(self::ofExtension()[$class] ?? null, self::ofStubs()[$class] ?? null);
    }

    /** @return iterable<string, array{string}> */
    public static function classes(): iterable
    {
        foreach (array_keys(self::ofExtension() + self::ofStubs()) as $class) {
            yield $class => [$class];
        }
    }

    public function testTheExtensionDeclaresNothingBesideItsClasses(): void
    {
        $extension = new \ReflectionExtension('hadsn');

        self::assertSame([], array_keys($extension->getFunctions()));
        self::assertSame([], $extension->getConstants());
    }

    /**
     * @dataProvider classes
     */
    public function testAStubStandsInAFileOfItsNameAndExplainsEverythingPublic(string $class): void
    {
        $source = (string) file_get_contents(self::STUBS . '/' . strtr($class, '\\', '/') . '.php');
        $tokens = \PhpToken::tokenize($source);
        $explained = false;
        $things = 0;
        foreach ($tokens as $i => $token) {
            if ($token->is(T_DOC_COMMENT)) {
                $explained = true;
            } elseif ($token->is([T_CLASS, T_INTERFACE, T_ENUM, T_CASE, T_PUBLIC]) && !$tokens[$i - 1]->is(T_DOUBLE_COLON)) {
                ++$things;
                self::assertTrue($explained, "line $token->line has no doc comment");
                $explained = false;
            }
        }
        self::assertGreaterThan(0, $things);
    }

    /** @return array<string, array<string, mixed>> */
    private static function ofExtension(): array
    {
        static $classes = null;

        return $classes ??= self::describe(true);
    }

    /** @return array<string, array<string, mixed>> */
    private static function ofStubs(): array
    {
        static $classes = null;

        return $classes ??= self::describe(false, self::STUBS);
    }

    /** @return array<string, array<string, mixed>> */
    private static function describe(bool $withExtension, string ...$arguments): array
    {
        // Without php.ini: it may load the extension.
        $php = $withExtension ? Php::command() : [PHP_BINARY, '-n'];
        $process = new Process([...$php, __DIR__ . '/../Support/describe-classes.php', ...array_values($arguments)]);

        return $process->wait(30.0)->json();
    }
}
