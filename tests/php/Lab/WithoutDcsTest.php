<?php

declare(strict_types=1);

namespace HaDsn\Tests\Lab;

use HaDsn;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;

/**
 * etcd is gone: Patroni has nobody to ask who leads, and the leader steps down.
 */
final class WithoutDcsTest extends LabTestCase
{
    protected function tearDown(): void
    {
        Lab::run('etcd-start');
        parent::tearDown();
    }

    public function testStatusTellsReadsGoOnAndWritingResumes(): void
    {
        HaDsn::configure(Lab::URL . '?ttl=500ms&failover_timeout=0s');
        HaDsn::writer();
        Lab::run('etcd-stop');

        $told = null;
        self::await(static function () use (&$told): bool {
            try {
                $pdo = Lab::connect(HaDsn::writer());
                $pdo->exec('CREATE TEMPORARY TABLE scratch (x int)');
            } catch (HaDsn\Exception|\PDOException) {
                HaDsn::invalidate();
            }
            $status = HaDsn::status()['clusters']['default'];
            $told = $status['error'] ?? ($status['leader'] === null ? 'no leader' : null);

            return $told !== null;
        }, 'status() tells of the trouble', 60.0);
        self::assertMatchesRegularExpression('/^no leader$|patroni 127\.0\.0\.1[123]:8008: /', $told);

        self::assertTrue(Lab::ask(Lab::connect(HaDsn::reader()), 'SELECT pg_is_in_recovery()'));

        Lab::run('etcd-start');
        self::await(static function (): bool {
            try {
                HaDsn::invalidate();
                $pdo = Lab::connect(HaDsn::writer());
                $pdo->exec('CREATE TEMPORARY TABLE scratch (x int)');
            } catch (HaDsn\Exception|\PDOException) {
                return false;
            }

            return self::server($pdo) === self::host(HaDsn::writer());
        }, 'writing resumes', 60.0);
        self::await(
            static fn(): bool => HaDsn::writer() !== '' && HaDsn::status()['clusters']['default']['error'] === null,
            'the trouble is over',
        );
    }
}
