<?php

declare(strict_types=1);

namespace Shop\Tests\Pest;

use Shop\Tests\ShopTestCase;

require_once __DIR__ . '/functions.php';

/**
 * Runs the example for Pest where there is no Pest: with as much of it as the example uses.
 */
#[\AllowDynamicProperties]
final class PestTest extends ShopTestCase
{
    protected function setUp(): void
    {
        Example::load(__DIR__ . '/PurchaseTest.php');
        parent::setUp();
        // The example starts its own.
        $this->tearDownFailover();
    }

    /**
     * @dataProvider cases
     */
    public function testTheExampleForPest(int $example, mixed ...$arguments): void
    {
        $example = Example::all()[$example];
        foreach ([Example::$before, $example->work] as $number => $work) {
            $bound = \Closure::bind($work, $this, self::class);
            $number === 0 ? $bound() : $bound(...$arguments);
        }
    }

    /** @return iterable<string, array<int, mixed>> */
    public static function cases(): iterable
    {
        Example::load(__DIR__ . '/PurchaseTest.php');
        foreach (Example::all() as $number => $example) {
            foreach ($example->cases as $case) {
                yield "$example->name: " . implode(' ', $case) => [$number, ...$case];
            }
        }
    }
}
