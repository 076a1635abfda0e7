<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Tests\Support\Workplace;

/**
 * The test that docs/testing.md shows for Doctrine passes.
 */
final class TestingPageTest extends UnitTestCase
{
    public function testItPasses(): void
    {
        $server = (new Postgres())->up();
        try {
            $place = new Workplace();
            (new Page('testing.md'))->follow('With Symfony and Doctrine', $place);
            $outcome = $place->shell(
                'php /usr/bin/phpunit --bootstrap ' . escapeshellarg(__DIR__ . '/autoload.php') . ' tests/AccountTest.php',
                ['TEST_DB_HOST' => Postgres::HOST, 'TEST_DB_PORT' => (string) $server->port],
            );
        } finally {
            $server->stop();
        }

        self::assertStringContainsString('OK (1 test', $outcome->stdout . $outcome->stderr);
    }
}
