<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\CommitUnknownException;
use HaDsn\NoLeaderException;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\TransactionException;
use Illuminate\Contracts\Database\LostConnectionDetector;
use Illuminate\Database\DetectsLostConnections;

/**
 * What Laravel's queue worker takes for a reason to end. It asks one object of the application since 12.22, and a list of texts before.
 */
final class LostConnectionsTest extends LaravelTestCase
{
    public function testWhatHadsnThrowsIsNone(): void
    {
        if (!interface_exists(LostConnectionDetector::class)) {
            eval('namespace Illuminate\Contracts\Database; interface LostConnectionDetector { public function causedByLostConnection(\Throwable $e): bool; }');
        }
        $app = $this->application();
        $app->bind(LostConnectionDetector::class, static fn(): LostConnectionDetector => new class implements LostConnectionDetector {
            public function causedByLostConnection(\Throwable $e): bool
            {
                return str_contains($e->getMessage(), 'reset by peer');
            }
        });
        $detector = $app->make(LostConnectionDetector::class);

        self::assertFalse($detector->causedByLostConnection(new NoLeaderException('patroni 10.0.0.1:8008: connection reset by peer')));
        self::assertTrue($detector->causedByLostConnection(new \RuntimeException('connection reset by peer')));
        self::assertFalse($detector->causedByLostConnection(new \RuntimeException('no')));
    }

    public function testNorAreItsTexts(): void
    {
        $worker = new class {
            use DetectsLostConnections;

            public function ends(\Throwable $e): bool
            {
                return $this->causedByLostConnection($e);
            }
        };
        $lost = new \PDOException('server closed the connection unexpectedly');

        self::assertTrue($worker->ends($lost));
        foreach ([new CommitUnknownException(previous: $lost), TransactionException::failed($lost), TransactionException::ended($lost)] as $error) {
            self::assertFalse($worker->ends($error), $error->getMessage());
        }
    }

    public function testAFailoverIsNoReasonForAWorkerToEnd(): void
    {
        $worker = new class {
            use DetectsLostConnections;

            public function ends(\Throwable $e): bool
            {
                return $this->causedByLostConnection($e);
            }
        };
        $db = $this->connection();
        $db->getPdo();
        $this->network->will(Proxy::CLOSE);
        $thrown = self::thrown(static fn() => $db->table('entry')->insert(['number' => 1]));

        self::assertFalse($worker->ends($thrown));
        self::assertTrue($worker->ends($thrown->getPrevious()));
    }
}
