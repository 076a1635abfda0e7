<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\Tests\Support\Lab;
use PDO;

/**
 * A pooler in front of the leader keeps its clients through a failover: they notice it because the server behind it does
 * not take writes any more.
 */
final class PoolerTest extends ConnectionTestCase
{
    private string $leader;
    private string $replica;
    private Pooler $pooler;

    protected function setUp(): void
    {
        parent::setUp();
        $status = Lab::status();
        $this->leader = Lab::address($status['leader']);
        $this->replica = Lab::address(current(array_filter(array_column($status['nodes'], 'name'), static fn(string $name): bool => $name !== $status['leader'])));
        $address = self::deadAddress();
        $this->pooler = new Pooler($address, $this->leader);
        $port = explode(':', $address)[1];
        \HaDsn::configure(Lab::URL . "?port=$port&map=$this->leader=$address");
    }

    protected function tearDown(): void
    {
        $this->pooler->stop();
        parent::tearDown();
    }

    public function testRunIsRepeatedWhenTheServerIsReallyAReplica(): void
    {
        $db = $this->connectionThatFindsTheLeaderAgain();
        $runs = 0;

        $server = $db->run(function (PDO $pdo) use (&$runs): string {
            if (++$runs === 1) {
                $this->pooler->leadTo($this->replica);
            }

            return Lab::ask($pdo, self::INSERT . '(1) RETURNING host(inet_server_addr())');
        });

        self::assertSame([2, $this->leader], [$runs, $server]);
        self::assertSame([1], self::entries());
    }

    public function testATransactionIsRepeatedWhenTheServerIsReallyAReplica(): void
    {
        $db = $this->connectionThatFindsTheLeaderAgain();
        $db->writer();
        $this->pooler->leadTo($this->replica);
        $runs = 0;

        $db->transaction(static function (PDO $pdo) use ($db, &$runs): void {
            ++$runs;
            $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));
        });

        self::assertSame(2, $runs);
        self::assertSame([1], self::entries());
    }

    public function testATransactionThatOnlyReadIsRepeatedWhenTheServerIsAReplica(): void
    {
        $db = $this->connectionThatFindsTheLeaderAgain();
        $db->writer();
        $this->pooler->leadTo($this->replica);

        self::assertSame($this->leader, $db->transaction(static fn(PDO $pdo): string => self::server($pdo)));
    }

    public function testAnIdleConnectionThatLeadsToAReplicaIsReplaced(): void
    {
        $db = $this->connectionThatFindsTheLeaderAgain();
        $db->writer();
        $this->pooler->leadTo($this->replica);
        usleep(1_200_000);

        self::assertSame($this->leader, self::server($db->writer()));
    }

    /** One with which the pooler leads to the leader again as soon as hadsn has given its connection up. */
    private function connectionThatFindsTheLeaderAgain(): \HaDsn\Connection
    {
        $journal = new Journal(function (string $message): void {
            if (str_contains($message, 'is given up')) {
                $this->pooler->leadTo($this->leader);
            }
        });

        return new \HaDsn\Connection('app', 'app', [PDO::ATTR_EMULATE_PREPARES => true], 'default', $journal);
    }
}
