<?php

declare(strict_types=1);

namespace HaDsn\Tests\ConsoleLab;

use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;
use HaDsn\Tests\Support\Libpq;
use HaDsn\Tests\Support\Outcome;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;

/**
 * The command line and a real cluster.
 */
final class ClusterTest extends LabTestCase
{
    private const PROGRAM = __DIR__ . '/../../../bin/hadsn';

    private Directory $directory;

    protected function setUp(): void
    {
        parent::setUp();
        $this->directory = new Directory();
    }

    protected function tearDown(): void
    {
        unset($this->directory);
        parent::tearDown();
    }

    public function testStatusShowsTheWholeCluster(): void
    {
        $json = self::hadsn(['status', '--json'])->json();

        self::assertSame(Lab::leader(), $json['leader']);
        self::assertSame(['pg1', 'pg2', 'pg3'], array_column($json['members'], 'name'));
        self::assertSame([true, true, true], array_column($json['members'], 'reachable'));
    }

    public function testTheConninfoConnectsPsql(): void
    {
        $conninfo = trim(self::hadsn(['dsn', 'writer', '--conninfo', '--user=app'])->stdout);
        $psql = (new Process(['psql', '-Atc', 'SELECT pg_is_in_recovery()', $conninfo], ['PGPASSWORD' => 'app']))->wait(30.0);

        self::assertSame(["f\n", ''], [$psql->stdout, $psql->stderr]);
        self::assertSame(Lab::address(Lab::leader()), Libpq::parse($conninfo)['host']);
    }

    public function testDoctorFindsNothingWrongWithAHealthyCluster(): void
    {
        $outcome = $this->doctor(Lab::URL . '?hedge=1s', 'app');

        foreach (['pg1', 'pg2', 'pg3'] as $node) {
            self::assertFound($outcome, 'login.works', 'ok', 'PostgreSQL 15', "$node at ");
            self::assertFound($outcome, 'clock.agrees', 'ok', '', $node);
        }
        self::assertFound($outcome, 'slot.active', 'ok', '2 of 2 replication slots in use');
        self::assertSame(0, $outcome->exitCode, $outcome->stdout);
    }

    public function testDatabaseHostsAsTheSourceAreAskedWithTheGivenCredentials(): void
    {
        $outcome = $this->doctor(str_replace('patroni://', 'postgresql://', Lab::URL) . '?hedge=1s', 'app');

        self::assertFound($outcome, 'cluster.leader', 'ok', '');
        self::assertFound($outcome, 'cluster.replicas', 'ok', '2 can be read from');
        foreach (['127.0.0.11', '127.0.0.12', '127.0.0.13'] as $host) {
            self::assertFound($outcome, 'login.works', 'ok', 'PostgreSQL 15', "$host:5432");
        }
        self::assertSame(0, $outcome->exitCode, $outcome->stdout);
    }

    public function testWrongCredentialsAreErrors(): void
    {
        self::assertFound($this->doctor(Lab::URL, 'wrong'), 'login.password', 'error', 'password authentication failed', 'pg1 at 127.0.0.11:5432');
        self::assertFound($this->doctor(str_replace('/app', '/nothing', Lab::URL), 'app'), 'login.database', 'error', '"nothing" does not exist');
        self::assertSame(2, $this->doctor(Lab::URL, 'wrong')->exitCode);
    }

    public function testAMapThatLeadsToTheWrongServerIsFound(): void
    {
        $leader = Lab::address(Lab::leader());
        $replica = Lab::address(Lab::replicas()[0]);

        $outcome = $this->doctor(Lab::URL . "?map=$leader=$replica,$replica=$leader", 'app');

        self::assertFound($outcome, 'login.role', 'error', 'is called the leader, and is in recovery', Lab::leader());
        self::assertFound($outcome, 'login.role', 'error', 'and is not in recovery: it takes writes', Lab::replicas()[0]);
    }

    public function testWhatIsWrongWithinAServerIsFound(): void
    {
        // Patroni would mend some of it, so it is a server of the test's own.
        $server = (new Postgres())->up(['wal_level' => 'replica', 'max_wal_senders' => 4]);
        $url = self::url($this->cluster($server->asLeader()));
        $pdo = $server->connect('postgres', database: 'postgres');
        $pdo->exec("SELECT pg_create_physical_replication_slot('forgotten', true)");
        $pdo->exec('ALTER ROLE app SET default_transaction_read_only = on');

        $outcome = $this->doctor($url, 'app');
        $server->write('pg_hba.conf', "host all postgres 127.0.0.0/8 scram-sha-256\n");
        $server->signal(SIGHUP);
        self::await(fn(): bool => str_contains($server->said(), 'reloading configuration files'), 'it reads pg_hba.conf');
        $refused = $this->doctor($url, 'app');

        self::assertFound($outcome, 'slot.inactive', 'notice', 'nobody uses it, and it keeps ', 'forgotten');
        self::assertFound($outcome, 'login.read_only', 'warning', 'default_transaction_read_only is on');
        self::assertFound($refused, 'login.hba', 'error', 'no pg_hba.conf entry');
        self::assertSame(2, $refused->exitCode);
    }

    public function testTheConninfoOfDatabaseHostsNeedsTheirPasswordAndDoesNotShowIt(): void
    {
        $url = str_replace('patroni://', 'postgresql://', Lab::URL);
        $words = ['dsn', 'writer', '--conninfo', '--user=app', "--password-file={$this->password('app')}"];

        $conninfo = Libpq::parse(trim(self::hadsn($words, $url)->stdout));

        self::assertSame([Lab::address(Lab::leader()), 'app'], [$conninfo['host'], $conninfo['user']]);
        self::assertArrayNotHasKey('password', $conninfo);
        self::assertSame(0, self::hadsn(['status', ...array_slice($words, 3)], $url)->exitCode);
        self::assertSame(1, self::hadsn(['status', '--user=app', "--password-file={$this->password('wrong')}"], $url)->exitCode);
    }

    public function testWithoutTheExtensionDoctorChecksAllTheSame(): void
    {
        foreach ([Lab::URL, str_replace('patroni://', 'postgresql://', Lab::URL)] as $url) {
            $words = ['doctor', '--json', '--user=app', "--password-file={$this->password('app')}"];
            $outcome = (new Process([...Php::command([], false), self::PROGRAM, ...$words], ['HADSN_URL' => $url]))->wait(60.0);

            self::assertFound($outcome, 'configuration.extension', 'error', 'not loaded');
            self::assertFound($outcome, 'login.works', 'ok', 'takes writes', Lab::address(Lab::leader()));
            self::assertFound($outcome, 'login.works', 'ok', 'in recovery', Lab::address(Lab::replicas()[0]));
            self::assertFound($outcome, 'slot.active', 'ok', '2 of 2');
        }
    }

    public function testADeadReplicaIsFoundAndItsSlot(): void
    {
        $replica = Lab::replicas()[0];
        Lab::run('kill', $replica);
        try {
            self::await(function () use (&$outcome): bool {
                $outcome = $this->doctor(Lab::URL, 'app');

                return in_array('slot.inactive', array_column($outcome->json()['findings'], 'id'), true);
            }, 'the leader has noticed');
        } finally {
            Lab::run('start', $replica, '--wait');
        }

        self::assertFound($outcome, 'slot.inactive', 'notice', 'nobody uses it, and it keeps ', $replica);
        self::assertFound($outcome, 'endpoint.unreachable', 'warning', 'connection refused', Lab::address($replica));
        self::assertFound($outcome, 'member.unreachable', 'warning', 'connection refused', $replica);
    }

    public function testAFrozenLeaderIsAnErrorWithTheRemedy(): void
    {
        $leader = Lab::leader();
        Lab::run('freeze', $leader);
        try {
            $outcome = $this->doctor(Lab::URL, 'app');
        } finally {
            Lab::run('thaw', $leader);
            Lab::run('up');
        }

        self::assertLessThan(10.0, $outcome->json()['seconds']);
        self::assertFound($outcome, 'member.unreachable', 'error', 'connected, and no answer', $leader);
        self::assertStringContainsString('patronictl failover', $outcome->stdout);
        self::assertSame(2, $outcome->exitCode);
    }

    public function testAStoppedDcsIsNamed(): void
    {
        Lab::run('etcd-stop');
        try {
            // Patroni answers from memory for a while.
            self::await(function () use (&$outcome): bool {
                $outcome = $this->doctor(Lab::URL, 'app');

                return count(array_keys(array_column($outcome->json()['findings'], 'id'), 'endpoint.dcs', true)) === 3;
            }, 'no Patroni has an answer', 40.0);
        } finally {
            Lab::run('etcd-start');
            Lab::run('up');
        }

        self::assertLessThan(10.0, $outcome->json()['seconds']);
        foreach (['pg1', 'pg2', 'pg3'] as $node) {
            self::assertFound($outcome, 'endpoint.dcs', 'warning', 'answers GET /patroni, and GET /cluster not', Lab::address($node));
        }
        self::assertSame(2, $outcome->exitCode);
    }

    public function testAFrozenNodeIsFoundInTime(): void
    {
        $replica = Lab::replicas()[0];
        Lab::run('freeze', $replica);
        try {
            $outcome = $this->doctor(Lab::URL, 'app');
        } finally {
            Lab::run('thaw', $replica);
        }

        self::assertLessThan(10.0, $outcome->json()['seconds']);
        self::assertFound($outcome, 'endpoint.silent', 'warning', 'connected, and no answer', Lab::address($replica));
        self::assertFound($outcome, 'member.unreachable', 'warning', 'connected, and no answer', $replica);
        self::assertSame(1, $outcome->exitCode, $outcome->stdout);
    }

    public function testAFullDirectoryOfSharedMemoryIsFound(): void
    {
        $path = "{$this->directory->path}/full";
        mkdir($path);
        self::finish('mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', $path);
        try {
            file_put_contents("$path/filler", str_repeat('x', 40_000));
            $full = $this->doctor(Lab::URL, 'app', "--shared-dir=$path");
            self::finish('mount', '-o', 'remount,ro', $path);
            $readOnly = $this->doctor(Lab::URL, 'app', "--shared-dir=$path");
            self::finish('mount', '-o', 'remount,rw,size=512k', $path);
            $tight = $this->doctor(Lab::URL, 'app', "--shared-dir=$path");
        } finally {
            self::finish('umount', $path);
        }

        self::assertFound($full, 'shm.unusable', 'warning', 'no space left');
        self::assertFound($readOnly, 'shm.unusable', 'warning', 'read-only file system');
        self::assertFound($tight, 'shm.space', 'warning', 'are free');
    }

    public function testBenchComparesTheWays(): void
    {
        $words = ['bench', '--user=app', "--password-file={$this->password('app')}", '--count=5'];

        $json = self::hadsn([...$words, '--json'])->json();
        $text = self::hadsn($words);

        self::assertSame(5, $json['rounds']);
        self::assertSame(['direct', 'writer', 'connect', 'hadsn'], array_keys($json['seconds']));
        self::assertEquals(1.0, $json['seconds']['direct']['ratio']);
        self::assertLessThan(0.001, $json['writer_call_seconds']);
        self::assertSame(0, $text->exitCode);
        self::assertMatchesRegularExpression('/^A CONNECTION +MEDIAN +95% +SHORTEST +RATIO$/m', $text->stdout);
        self::assertMatchesRegularExpression("/^new PDO\\('hadsn:'\\) +[0-9.]+ ms/m", $text->stdout);
        $long = self::seconds(static fn() => self::hadsn([...$words, '--time=500ms']));
        self::assertLessThan(10.0, $long);
        self::assertSame(1, self::hadsn(['bench', '--user=app', "--password-file={$this->password('wrong')}"])->exitCode);
    }

    public function testWatchAndForgetSeeTheSwitchover(): void
    {
        $before = Lab::leader();
        $watch = new Process([...Php::command(), self::PROGRAM, 'watch', '--interval=200ms', '--json'], ['HADSN_URL' => Lab::URL]);
        $watch->waitFor("/\"leader\":\"$before\"/", 20.0);
        Lab::run('switchover');
        $after = Lab::leader();
        $watch->waitFor("/\"leader\":\"$after\"/", 20.0);
        $watch->signal(SIGTERM);

        self::assertSame(0, $watch->wait(20.0)->exitCode);
        self::assertStringContainsString("the leader is $after on timeline ", self::hadsn(['forget'])->stdout);
    }

    private function doctor(string $url, string $password, string ...$words): Outcome
    {
        $pool = $this->directory->write('pool.conf', "[www]\nclear_env = no\n");

        return self::hadsn(['doctor', '--json', "--fpm-pool=$pool", '--user=app', "--password-file={$this->password($password)}", ...$words], $url);
    }

    private function password(string $password): string
    {
        return $this->directory->write('password', "$password\n");
    }

    /** @param list<string> $words */
    private static function hadsn(array $words, string $url = Lab::URL): Outcome
    {
        return (new Process([...Php::command(), self::PROGRAM, ...$words], ['HADSN_URL' => $url]))->wait(60.0);
    }

    private static function finish(string ...$command): void
    {
        $outcome = (new Process($command))->wait(20.0);
        if ($outcome->exitCode !== 0) {
            throw new \RuntimeException(implode(' ', $command) . ": $outcome->stderr");
        }
    }

    private static function assertFound(Outcome $outcome, string $id, string $level, string $message, string $subject = ''): void
    {
        foreach ($outcome->json()['findings'] as $finding) {
            if ($finding['id'] === $id && $finding['level'] === $level && str_contains($finding['message'], $message) && str_contains($finding['subject'], $subject)) {
                self::assertTrue(true);

                return;
            }
        }
        self::fail("no finding $id, $level, $subject: $message\n$outcome->stdout");
    }
}
