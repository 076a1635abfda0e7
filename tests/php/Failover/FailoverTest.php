<?php

declare(strict_types=1);

namespace HaDsn\Tests\Failover;

use HaDsn;
use HaDsn\Phase;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;
use HaDsn\Verdict;

/**
 * HaDsn::connect() and new PDO('hadsn:') while the leader of a real cluster changes.
 */
final class FailoverTest extends LabTestCase
{
    private const PERSISTENT = [\PDO::ATTR_PERSISTENT => true];

    protected function tearDown(): void
    {
        parent::tearDown();
        Lab::up();
    }

    public function testBothRolesAreWhatTheyShouldBe(): void
    {
        $isReplica = static fn(\PDO $pdo): bool => Lab::ask($pdo, 'SELECT pg_is_in_recovery()');

        self::assertFalse($isReplica(HaDsn::connect('app', 'app')));
        self::assertFalse($isReplica(new \PDO('hadsn:', 'app', 'app')));
        $replicas = [];
        for ($i = 0; $i < 4; $i++) {
            foreach ([HaDsn::connect('app', 'app', role: 'reader'), new \PDO('hadsn:reader', 'app', 'app')] as $pdo) {
                self::assertTrue($isReplica($pdo));
                $replicas[self::server($pdo)] = true;
            }
        }
        self::assertCount(2, $replicas);
        self::assertSame('postgres', Lab::ask(new \PDO('hadsn:dbname=postgres;role=reader', 'app', 'app'), 'SELECT current_database()'));
    }

    public function testWhatWasWrittenIsReadWithItsPosition(): void
    {
        $writer = HaDsn::connect('app', 'app');
        $writer->exec('DROP TABLE IF EXISTS positions');
        $writer->exec('CREATE TABLE positions (n int)');
        $onReplicas = 0;
        for ($n = 1; $n <= 100; $n++) {
            $writer->exec("INSERT INTO positions VALUES ($n)");
            $after = HaDsn::position($writer);
            $reader = $n % 2 === 0 ? HaDsn::connect('app', 'app', role: 'reader', after: $after) : new \PDO("hadsn:role=reader;after=$after", 'app', 'app');
            self::assertSame($n, Lab::ask($reader, 'SELECT max(n) FROM positions'));
            $onReplicas += (int) Lab::ask($reader, 'SELECT pg_is_in_recovery()');
        }
        self::assertGreaterThan(0, $onReplicas);
    }

    public function testAPositionThatNoReplicaCanHaveIsReadFromTheLeader(): void
    {
        [, $timeline, $lsn] = explode('-', HaDsn::position(HaDsn::connect('app', 'app')));
        foreach (["h1-$timeline-FFFF/0", 'h1-' . ((int) $timeline + 1) . "-$lsn", "h1-999-0/1"] as $token) {
            $reader = HaDsn::connect('app', 'app', role: 'reader', after: $token);
            self::assertFalse(Lab::ask($reader, 'SELECT pg_is_in_recovery()'), $token);
        }
    }

    public function testAReaderPassesOverAReplicaThatIsGone(): void
    {
        $gone = array_values(array_diff(['pg1', 'pg2', 'pg3'], [Lab::leader()]))[0];
        HaDsn::topology();
        Lab::run('kill', $gone);

        for ($i = 0; $i < 6; $i++) {
            $reader = HaDsn::connect('app', 'app', role: 'reader');
            self::assertNotSame(Lab::address($gone), self::server($reader));
            self::assertTrue(Lab::ask($reader, 'SELECT pg_is_in_recovery()'));
        }
    }

    public function testAConnectionWhoseLeaderWentIsToldApartAndReplaced(): void
    {
        $open = HaDsn::connect('app', 'app');
        $old = self::server($open);
        $open->beginTransaction();
        Lab::run('switchover');

        $error = self::thrown(static fn() => $open->exec('SELECT 1'));
        self::assertSame(Verdict::Retry, HaDsn::verdict($error, Phase::InTransaction));
        self::assertSame(Verdict::InDoubt, HaDsn::verdict($error, Phase::Commit));
        foreach ([HaDsn::connect('app', 'app'), new \PDO('hadsn:', 'app', 'app')] as $pdo) {
            self::assertNotSame($old, self::server($pdo));
            $pdo->exec('CREATE TEMPORARY TABLE proof ()');
        }
    }

    /**
     * @dataProvider ports
     */
    public function testAKeptConnectionToADeposedLeaderIsNeverHandedOut(string $options): void
    {
        HaDsn::configure(Lab::URL . $options);
        $kept = HaDsn::connect('app', 'app', self::PERSISTENT);
        $old = self::server($kept);
        unset($kept);
        Lab::run('switchover');

        foreach ([HaDsn::connect('app', 'app', self::PERSISTENT), new \PDO('hadsn:', 'app', 'app', self::PERSISTENT)] as $pdo) {
            self::assertNotSame($old, self::server($pdo));
            $pdo->exec('CREATE TEMPORARY TABLE IF NOT EXISTS proof ()');
        }
    }

    /** @return iterable<string, array{string}> */
    public static function ports(): iterable
    {
        yield 'the announced port' => [''];
        yield 'a port of its own' => ['?port=5432'];
    }

    public function testAProgramThatKnowsNothingOfHadsnWritesOnThroughACrash(): void
    {
        $write = static function (?\PDO &$pdo): bool {
            try {
                $pdo ??= new \PDO('hadsn:', 'app', 'app', [\PDO::ATTR_TIMEOUT => 3]);
                $pdo->exec('INSERT INTO crash DEFAULT VALUES');

                return true;
            } catch (\PDOException) {
                $pdo = null;

                return false;
            }
        };
        $pdo = HaDsn::connect('app', 'app');
        $pdo->exec('DROP TABLE IF EXISTS crash');
        $pdo->exec('CREATE TABLE crash (at timestamptz DEFAULT now())');
        $old = self::server($pdo);
        $pdo = null;
        self::assertTrue($write($pdo));
        Lab::run('kill', 'leader');

        $isElsewhere = static function () use ($write, &$pdo, $old): bool {
            return $write($pdo) && self::server($pdo) !== $old;
        };
        self::await($isElsewhere, 'it writes to another leader', 60.0);
    }
}
