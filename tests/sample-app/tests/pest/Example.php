<?php

declare(strict_types=1);

namespace Shop\Tests\Pest;

/**
 * A test as Pest's `it()` takes it.
 */
final class Example
{
    public static \Closure $before;

    /** @var list<self> */
    private static array $all = [];

    /** @var list<list<mixed>> */
    public array $cases = [];

    public function __construct(public readonly string $name, public readonly \Closure $work)
    {
        self::$all[] = $this;
    }

    /** @param list<list<mixed>> $cases */
    public function with(array $cases): self
    {
        $this->cases = $cases;

        return $this;
    }

    public static function load(string $file): void
    {
        if (self::$all === []) {
            require $file;
        }
    }

    /** @return list<self> */
    public static function all(): array
    {
        return self::$all;
    }
}
