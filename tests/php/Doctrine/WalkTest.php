<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use HaDsn\Tests\Support\FpmSite;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\Reply;
use HaDsn\Tests\Support\Request;
use HaDsn\Tests\Support\WalkTestCase;
use HaDsn\Tests\Support\Workplace;

/**
 * The five minutes of docs/doctrine.md, word by word.
 */
final class WalkTest extends WalkTestCase
{
    private static Workplace $workplace;

    protected static function build(): FpmSite
    {
        self::app()->exec('DROP TABLE IF EXISTS orders');
        self::$workplace = new Workplace(packages: ['doctrine/dbal' => '/usr/share/php/Doctrine/DBAL']);
        (new Page('doctrine.md'))->follow('In five minutes', self::$workplace);
        self::$workplace->stop();
        self::app()->exec('DELETE FROM orders');

        return new FpmSite(self::$workplace->path . '/public');
    }

    protected static function request(int $number): Request
    {
        return self::$site->request('POST', "orders/$number");
    }

    protected static function outcome(int $number, Reply $reply): ?string
    {
        return match (true) {
            $reply->status === 200 && $reply->json() === ['written' => $number] => self::WRITTEN,
            $reply->status === 503 && isset($reply->json()['error']) => self::NOT_WRITTEN,
            $reply->status === 500 && $reply->json() === ['unknown' => $number] => self::UNKNOWN,
            default => null,
        };
    }

    protected static function whole(int $number): int
    {
        return 2;
    }

    protected static function rows(): array
    {
        return array_count_values(self::column('SELECT number FROM orders'));
    }

    public static function tearDownAfterClass(): void
    {
        parent::tearDownAfterClass();
        self::app()->exec('DROP TABLE IF EXISTS orders');
    }

    public function testTheFiveMinutesGiveAWorkingApplication(): void
    {
        self::assertStringEndsWith("{\"written\":1}\n{\"number\":1,\"lines\":[1,2]}\n", self::$workplace->said());
    }
}
