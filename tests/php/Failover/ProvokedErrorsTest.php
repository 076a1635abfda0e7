<?php

declare(strict_types=1);

namespace HaDsn\Tests\Failover;

use HaDsn;
use HaDsn\Phase;
use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\FakeMember;
use HaDsn\Tests\Console\FakePostgres;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\UnitTestCase;

require_once __DIR__ . '/../Connection/autoload.php';

/**
 * What hadsn says of errors that a real server, libpq and PDO have made, in English and in German. docs/verdicts.md shows the
 * same.
 */
final class ProvokedErrorsTest extends UnitTestCase
{
    /** In the order of HaDsn\Phase: connect, in_transaction, commit, autocommit, unknown. */
    private const ALWAYS_RETRY = ['retry', 'retry', 'retry', 'retry', 'retry'];
    private const NOT_CONNECTED = ['retry', 'retry', 'retry', 'retry', 'in_doubt'];
    private const LOST = ['retry', 'retry', 'in_doubt', 'in_doubt', 'in_doubt'];
    private const NO_ROOM = ['retry', 'unrelated', 'unrelated', 'unrelated', 'unrelated'];
    private const UNRELATED = ['unrelated', 'unrelated', 'unrelated', 'unrelated', 'unrelated'];

    /** @var list<Postgres> */
    private array $servers = [];
    /** @var list<FakeCluster> */
    private array $networks = [];

    protected function tearDown(): void
    {
        foreach ($this->networks as $network) {
            $network->stop();
        }
        foreach ($this->servers as $server) {
            $server->stop();
        }
        parent::tearDown();
    }

    /**
     * @dataProvider errors
     *
     * @param list<string> $verdicts
     * @param list<string> $german   what an unread language leaves of them
     */
    public function testAnErrorIsJudgedByWhatWasGoingOn(string $provoke, string $text, array $verdicts, ?array $german = null): void
    {
        $error = $this->$provoke(false);
        self::assertStringContainsString($text, $error->getMessage());
        self::assertSame($verdicts, self::verdicts($error), $error->getMessage());

        $translated = German::speak(fn(): \PDOException => $this->$provoke(true));
        self::assertNotSame(self::withoutPorts($error), self::withoutPorts($translated), 'it is not translated');
        self::assertSame($german ?? $verdicts, self::verdicts($translated), $translated->getMessage());
    }

    /** @return iterable<string, array<int, mixed>> */
    public static function errors(): iterable
    {
        yield 'nobody listens' => ['refused', 'Connection refused', self::ALWAYS_RETRY, self::LOST];
        yield 'nobody answers' => ['silent', 'timeout expired', self::NOT_CONNECTED, self::LOST];
        yield 'broken off in the handshake' => ['slammed', 'server closed the connection unexpectedly', self::NOT_CONNECTED, self::LOST];
        yield 'starting up' => ['startingUp', 'the database system is starting up', self::ALWAYS_RETRY, self::LOST];
        yield 'shutting down' => ['shuttingDown', 'the database system is shutting down', self::ALWAYS_RETRY, self::LOST];
        yield 'not accepting connections' => ['notAccepting', 'the database system is not accepting connections', self::ALWAYS_RETRY, self::LOST];
        yield 'no way there' => ['unreachable', 'No route to host', self::NOT_CONNECTED, self::LOST];
        yield 'a TLS connection closed' => ['closedWithTls', 'SSL connection has been closed unexpectedly', self::LOST];
        yield 'the wrong kind of server' => ['readOnlyServer', 'session is read-only', self::ALWAYS_RETRY, self::LOST];
        yield 'no room' => ['tooMany', 'remaining connection slots are reserved', self::NO_ROOM, self::LOST];
        yield 'a write refused' => ['readOnly', 'cannot execute CREATE TABLE in a read-only transaction', self::ALWAYS_RETRY];
        yield 'ended by an administrator' => ['terminated', 'terminating connection due to administrator command', self::LOST];
        yield 'another backend crashed' => ['crashed', 'server closed the connection unexpectedly', self::LOST];
        yield 'the connection closed' => ['closed', 'server closed the connection unexpectedly', self::LOST];
        yield 'the connection reset' => ['reset', 'server closed the connection unexpectedly', self::LOST];
        yield 'used after it was lost' => ['usedAfterwards', 'no connection to the server', self::LOST];
        yield 'lost before COMMIT was there' => ['commitNotThere', 'server closed the connection unexpectedly', self::LOST];
        yield 'lost after COMMIT was there' => ['commitThere', 'server closed the connection unexpectedly', self::LOST];
        yield 'an unknown database' => ['noDatabase', 'does not exist', self::UNRELATED, self::LOST];
        yield 'a wrong password' => ['wrongPassword', 'password authentication failed', self::UNRELATED, self::LOST];
        yield 'a unique key' => ['duplicate', 'duplicate key value', self::UNRELATED];
        yield 'a conflict' => ['serialization', 'could not serialize access', self::UNRELATED];
    }

    public function testTheTableOfTheDocumentationIsTrue(): void
    {
        $rows = 0;
        foreach (file(__DIR__ . '/../../../docs/verdicts.md', FILE_IGNORE_NEW_LINES) as $line) {
            $cells = array_map('trim', explode('|', trim($line, '| ')));
            if (count($cells) !== 8 || preg_match('/^`([0-9A-Z]{5})`$/D', $cells[1], $state) !== 1) {
                continue;
            }
            $error = new \PDOException("SQLSTATE[$state[1]]: " . trim($cells[2], '`'));
            $error->errorInfo = [$state[1], 7, str_replace('…', '', trim($cells[2], '`'))];
            self::assertSame(array_slice($cells, 3), array_map(
                static fn(string $verdict): string => ['retry' => 'Retry', 'in_doubt' => 'InDoubt', 'unrelated' => 'Unrelated'][$verdict],
                self::verdicts($error),
            ), $line);
            ++$rows;
        }
        self::assertGreaterThan(15, $rows);
    }

    public function testOnlyAFailoverMakesTheClusterSuspect(): void
    {
        $patroni = $this->cluster(HaDsn\Tests\Support\Nodes::leader());
        $state = static fn(string $name): string => HaDsn::status()['clusters'][$name]['state'];
        HaDsn::configure(self::url($patroni), 'one');
        HaDsn::configure(self::url($patroni, 'ttl=9s'), 'other');
        HaDsn::writer('one');
        HaDsn::writer('other');

        foreach ([$this->wrongPassword(false), $this->duplicate(false), $this->tooMany(false)] as $error) {
            HaDsn::verdict($error, Phase::Connect);
        }
        self::assertSame(['fresh', 'fresh'], [$state('one'), $state('other')]);

        HaDsn::verdict($this->terminated(false), Phase::Autocommit, 'one');
        self::assertSame(['suspect', 'fresh'], [$state('one'), $state('other')]);

        HaDsn::verdict($this->refused(false));
        self::assertSame(['suspect', 'suspect'], [$state('one'), $state('other')]);
    }

    private static function withoutPorts(\PDOException $error): string
    {
        return (string) preg_replace('/\d+/', '', $error->getMessage());
    }

    /** @return list<string> */
    private static function verdicts(\Throwable $error): array
    {
        return array_map(static fn(Phase $phase): string => HaDsn::verdict($error, $phase)->value, Phase::cases());
    }

    private function server(bool $isGerman): Postgres
    {
        return $this->servers[] = new Postgres($isGerman);
    }

    private function network(Postgres $server): FakeCluster
    {
        return $this->networks[] = FakeCluster::inFrontOf(Postgres::HOST, $server->port, new FakeMember('own'));
    }

    private static function through(FakeCluster $network): \PDO
    {
        return self::connectTo($network->address('own'));
    }

    private static function connectTo(string $address, int $seconds = 5): \PDO
    {
        [$host, $port] = explode(':', $address);

        return new \PDO("pgsql:host=$host;port=$port;dbname=app", 'app', 'app', [\PDO::ATTR_TIMEOUT => $seconds]);
    }

    private static function error(callable $call): \PDOException
    {
        $error = self::thrown($call);
        self::assertInstanceOf(\PDOException::class, $error);

        return $error;
    }

    private function refused(bool $isGerman): \PDOException
    {
        return self::error(static fn() => self::connectTo(self::deadAddress()));
    }

    private function silent(bool $isGerman): \PDOException
    {
        $network = $this->network($this->server($isGerman)->up());
        $network->freeze('own');

        return self::error(static fn() => self::connectTo($network->address('own'), 2));
    }

    private function slammed(bool $isGerman): \PDOException
    {
        $slam = new FakePostgres('');
        try {
            return self::error(static fn() => self::connectTo("127.0.0.1:$slam->port"));
        } finally {
            $slam->stop();
        }
    }

    private function startingUp(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman);
        $server->write('standby.signal', '');
        // It looks for WAL in an archive that takes its time.
        $server->start(['restore_command' => 'sleep 20; false', 'hot_standby' => 'off', 'wal_level' => 'replica']);

        return self::error(static fn() => $server->connect());
    }

    private function notAccepting(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman);
        $server->write('standby.signal', '');
        $server->start(['hot_standby' => 'off', 'wal_level' => 'replica']);
        $refusal = null;
        self::await(static function () use ($server, &$refusal): bool {
            $refusal = self::error(static fn() => $server->connect());

            return preg_match('/starting up|startet/', $refusal->getMessage()) === 0;
        }, 'it has started');

        return $refusal;
    }

    private function unreachable(bool $isGerman): \PDOException
    {
        return self::rejecting(['-d', '127.0.0.42'], 'icmp-host-unreachable', static fn() => self::error(static fn() => self::connectTo('127.0.0.42:5432')));
    }

    /**
     * What comes of it while the kernel refuses to send these packets.
     *
     * @param list<string>              $packets as iptables describes them
     * @param callable(): \PDOException $call
     */
    private static function rejecting(array $packets, string $with, callable $call): \PDOException
    {
        $rule = ['OUTPUT', ...$packets, '-m', 'comment', '--comment', 'hadsn-test', '-j', 'REJECT', '--reject-with', $with];
        self::assertSame(0, (new Process(['/usr/sbin/iptables', '-w', '-I', ...$rule]))->wait(20.0)->exitCode);
        try {
            return $call();
        } finally {
            (new Process(['/usr/sbin/iptables', '-w', '-D', ...$rule]))->wait(20.0);
        }
    }

    private function closedWithTls(bool $isGerman): \PDOException
    {
        $key = openssl_pkey_new(['private_key_bits' => 2048]);
        $certificate = openssl_csr_sign(openssl_csr_new(['commonName' => Postgres::HOST], $key), null, $key, 1);
        openssl_x509_export($certificate, $certificateText);
        openssl_pkey_export($key, $keyText);
        $server = $this->server($isGerman);
        chmod($server->write('server.key', $keyText), 0600);
        $server->write('server.crt', $certificateText);
        $server->up(['ssl' => 'on']);
        $pdo = $server->connect(more: 'sslmode=require');

        return self::error(static fn() => $pdo->exec('SELECT pg_terminate_backend(pg_backend_pid())'));
    }

    private function shuttingDown(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman)->up();
        // A smart shutdown waits for those who are there, and lets nobody in.
        $inside = $server->connect();
        $server->signal(SIGTERM);
        $refusal = null;
        self::await(static function () use ($server, &$refusal): bool {
            try {
                $server->connect();
            } catch (\PDOException $e) {
                $refusal = $e;
            }

            return $refusal !== null;
        }, 'it lets nobody in');
        unset($inside);

        return $refusal;
    }

    private function readOnlyServer(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman)->up(['default_transaction_read_only' => 'on']);

        return self::error(static fn() => $server->connect(more: 'target_session_attrs=read-write'));
    }

    private function tooMany(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman)->up(['max_connections' => 5, 'superuser_reserved_connections' => 3]);
        $inside = [];

        return self::error(static function () use ($server, &$inside): void {
            for ($i = 0; $i < 5; $i++) {
                $inside[] = $server->connect();
            }
        });
    }

    private function readOnly(bool $isGerman): \PDOException
    {
        $pdo = $this->server($isGerman)->up(['default_transaction_read_only' => 'on'])->connect();

        return self::error(static fn() => $pdo->exec('CREATE TABLE t ()'));
    }

    private function terminated(bool $isGerman): \PDOException
    {
        $pdo = $this->server($isGerman)->up()->connect();

        return self::error(static fn() => $pdo->exec('SELECT pg_terminate_backend(pg_backend_pid())'));
    }

    private function crashed(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman)->up();
        [$pdo, $victim] = [$server->connect(), $server->connect()];
        posix_kill((int) $victim->query('SELECT pg_backend_pid()')->fetchColumn(), SIGKILL);

        return self::error(static fn() => $pdo->exec('SELECT pg_sleep(20)'));
    }

    private function closed(bool $isGerman): \PDOException
    {
        $network = $this->network($this->server($isGerman)->up());
        $pdo = self::through($network);
        $network->before('SELECT')->cut();

        return self::error(static fn() => $pdo->exec('SELECT 1'));
    }

    private function reset(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman)->up();
        $pdo = $server->connect();

        return self::rejecting(
            ['-d', Postgres::HOST, '-p', 'tcp', '--dport', (string) $server->port],
            'tcp-reset',
            static fn() => self::error(static fn() => $pdo->exec('SELECT 1')),
        );
    }

    private function usedAfterwards(bool $isGerman): \PDOException
    {
        $pdo = $this->server($isGerman)->up()->connect();
        self::error(static fn() => $pdo->exec('SELECT pg_terminate_backend(pg_backend_pid())'));

        return self::error(static fn() => $pdo->exec('SELECT 1'));
    }

    private function commitNotThere(bool $isGerman): \PDOException
    {
        return $this->committing($isGerman, 'before', false);
    }

    private function commitThere(bool $isGerman): \PDOException
    {
        return $this->committing($isGerman, 'after', true);
    }

    private function committing(bool $isGerman, string $when, bool $isThere): \PDOException
    {
        $server = $this->server($isGerman)->up();
        $server->connect()->exec('CREATE TABLE t ()');
        $network = $this->network($server);
        $network->$when('COMMIT')->cut();
        $pdo = self::through($network);
        $pdo->beginTransaction();
        $pdo->exec('INSERT INTO t DEFAULT VALUES');
        $error = self::error(static fn() => $pdo->commit());
        // The same exception, and the opposite is true.
        self::assertSame($isThere ? 1 : 0, (int) $server->connect()->query('SELECT count(*) FROM t')->fetchColumn());

        return $error;
    }

    private function noDatabase(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman)->up();

        return self::error(static fn() => $server->connect(database: 'nosuch'));
    }

    private function wrongPassword(bool $isGerman): \PDOException
    {
        $dsn = $this->server($isGerman)->up()->dsn();

        return self::error(static fn() => new \PDO($dsn, 'app', 'wrong'));
    }

    private function duplicate(bool $isGerman): \PDOException
    {
        $pdo = $this->server($isGerman)->up()->connect();
        $pdo->exec('CREATE TABLE t (id int PRIMARY KEY)');

        return self::error(static fn() => $pdo->exec('INSERT INTO t VALUES (1), (1)'));
    }

    private function serialization(bool $isGerman): \PDOException
    {
        $server = $this->server($isGerman)->up();
        [$one, $other] = [$server->connect(), $server->connect()];
        $one->exec('CREATE TABLE t AS SELECT 1 AS n');
        $one->exec('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t');
        $other->exec('UPDATE t SET n = 2');

        return self::error(static fn() => $one->exec('UPDATE t SET n = 3'));
    }
}
