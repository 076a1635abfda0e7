<?php

declare(strict_types=1);

namespace HaDsn\Tests\Lab;

use HaDsn\Tests\Support\FpmSite;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Reply;
use HaDsn\Tests\Support\Request;
use HaDsn\Tests\Support\WalkTestCase;

/**
 * A site in plain PHP whose FPM processes keep their connections from one request to the next.
 */
final class FpmTest extends WalkTestCase
{
    protected static function build(): FpmSite
    {
        self::app()->exec('DROP TABLE IF EXISTS visit; CREATE TABLE visit (number bigint NOT NULL)');

        return new FpmSite(__DIR__ . '/site', ['HADSN_URL' => Lab::URL]);
    }

    protected static function request(int $number): Request
    {
        return self::$site->request('POST', (string) $number);
    }

    protected static function outcome(int $number, Reply $reply): ?string
    {
        return match ((string) $reply) {
            '200 written' => self::WRITTEN,
            '503 not written' => self::NOT_WRITTEN,
            '500 unknown' => self::UNKNOWN,
            default => null,
        };
    }

    protected static function rows(): array
    {
        return array_count_values(self::column('SELECT number FROM visit'));
    }

    public static function tearDownAfterClass(): void
    {
        parent::tearDownAfterClass();
        self::app()->exec('DROP TABLE IF EXISTS visit');
    }
}
