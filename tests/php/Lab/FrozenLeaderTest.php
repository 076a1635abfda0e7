<?php

declare(strict_types=1);

namespace HaDsn\Tests\Lab;

use HaDsn;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;
use HaDsn\Tests\Support\Loop;

/**
 * The leader's machine stops without dying: its kernel still accepts connections, and nobody answers.
 */
final class FrozenLeaderTest extends LabTestCase
{
    protected function tearDown(): void
    {
        Lab::run('thaw', 'all');
        parent::tearDown();
    }

    public function testTheWriterMovesAndReadsGoOn(): void
    {
        $old = Lab::leader();
        $address = Lab::address($old);
        HaDsn::configure("patroni://$address,127.0.0.11,127.0.0.12,127.0.0.13/app?failover_timeout=0s&timeout=10s");
        self::assertSame($address, self::host(HaDsn::writer()));
        $reader = new Loop('reader');
        self::await(static fn(): bool => count($reader->successes()) >= 20, 'the application reads');

        Lab::run('freeze', $old);
        $longest = 0.0;
        self::await(static function () use ($address, &$longest, &$writer): bool {
            HaDsn::invalidate();
            $longest = max($longest, self::seconds(static function () use (&$writer): void {
                try {
                    $writer = HaDsn::writer();
                } catch (HaDsn\NoLeaderException) {
                    $writer = null;
                }
            }));

            return $writer !== null && self::host($writer) !== $address;
        }, 'the writer is another node', 60.0);
        $pdo = null;
        self::await(static function () use (&$pdo): bool {
            try {
                $pdo = Lab::connect(HaDsn::writer());
            } catch (\PDOException|HaDsn\NoLeaderException) {
                // It has the lock, and is still being promoted.
                HaDsn::invalidate();
            }

            return $pdo !== null;
        }, 'the new leader takes writes');
        $pdo->exec('CREATE TEMPORARY TABLE scratch (x int)');
        $reader->end();

        self::assertNotSame($address, self::server($pdo));
        self::assertFalse(Lab::ask($pdo, 'SELECT pg_is_in_recovery()'));
        self::assertLessThan(3.0, $longest, 'a silent endpoint costs no timeout');
        self::assertSame([], array_values(array_filter(array_column($reader->turns(), 'error'))));
        self::assertNotContains($address, array_column($reader->turns(), 'server'));

        // What the old leader thinks of itself when it wakes up does not matter.
        Lab::run('thaw', $old);
        HaDsn::invalidate();
        self::assertSame(self::server($pdo), self::host(HaDsn::writer()));
    }
}
