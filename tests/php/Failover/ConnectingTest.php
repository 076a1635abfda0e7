<?php

declare(strict_types=1);

namespace HaDsn\Tests\Failover;

use HaDsn;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Tests\Support\WebServer;

/**
 * HaDsn::connect() and new PDO('hadsn:') with a server that can be stopped and misconfigured.
 */
final class ConnectingTest extends UnitTestCase
{
    /** @var list<Postgres> */
    private array $servers = [];

    protected function tearDown(): void
    {
        foreach ($this->servers as $server) {
            $server->stop();
        }
        parent::tearDown();
    }

    /** @return iterable<string, array{callable(): \PDO}> */
    public static function ways(): iterable
    {
        yield 'connect()' => [static fn(?string $user = 'app', ?string $password = 'app', array $options = []): \PDO => HaDsn::connect($user, $password, $options)];
        foreach (self::makers() as $name => [$make]) {
            yield $name => [static fn(?string $user = 'app', ?string $password = 'app', array $options = []): \PDO => $make('hadsn:', $user, $password, $options)];
        }
    }

    /** @return iterable<string, array{callable(string, ?string, ?string, array<int, mixed>): \PDO}> what PHP has to make a PDO of a DSN */
    public static function makers(): iterable
    {
        yield 'new PDO' => [static fn(mixed ...$arguments): \PDO => new \PDO(...$arguments)];
        if (PHP_VERSION_ID >= 80400) {
            yield 'PDO::connect()' => [\PDO::connect(...)];
            yield 'new Pdo\Pgsql' => [static fn(mixed ...$arguments): \PDO => new \Pdo\Pgsql(...$arguments)];
            yield 'Pdo\Pgsql::connect()' => [\Pdo\Pgsql::connect(...)];
        }
    }

    /** @dataProvider makers */
    public function testTheClassIsTheOneThatAnyDsnOfPostgresqlGives(callable $make): void
    {
        $server = $this->server()->up();
        self::configure($this->led($server));

        self::assertSame($make($server->dsn(), 'app', 'app', [])::class, $make('hadsn:', 'app', 'app', [])::class);
        self::assertSame(\PDO::class, HaDsn::connect('app', 'app')::class);
    }

    /** @dataProvider ways */
    public function testItIsConnectedToTheLeader(callable $connect): void
    {
        $server = $this->server()->up();
        self::configure($this->led($server));

        $pdo = $connect();

        self::assertSame($server->port, $pdo->query('SELECT inet_server_port()')->fetchColumn());
        self::assertSame(\PDO::ERRMODE_EXCEPTION, $pdo->getAttribute(\PDO::ATTR_ERRMODE));
    }

    /**
     * @dataProvider ways
     */
    public function testCredentialsComeFromTheArgumentsOrTheSource(callable $connect): void
    {
        $server = $this->server()->up();
        $source = str_replace('://', '://app:app@', self::url($this->led($server)));
        HaDsn::configure($source);

        $user = static fn(\PDO $pdo): string => $pdo->query('SELECT current_user')->fetchColumn();
        self::assertSame('app', $user($connect(null, null)));
        self::assertSame('postgres', $user($connect('postgres', 'postgres')));
        // The password of the source is the source's user's.
        self::assertInstanceOf(\PDOException::class, self::thrown(static fn() => $connect('postgres', null)));
    }

    /** @dataProvider hopeless */
    public function testWhatWaitingCannotCureIsThrownAtOnceAndUnchanged(bool $isGerman, string $database, string $password, string $options, string $text): void
    {
        $server = $this->server($isGerman)->up();
        HaDsn::configure(self::url($this->led($server), rtrim("failover_timeout=60s&$options", '&'), $database));
        foreach (self::ways() as $way => [$connect]) {
            $attempt = static fn(): \Throwable => self::thrown(static fn() => $connect('app', $password));
            $error = null;
            $seconds = self::seconds(static function () use ($isGerman, $attempt, &$error): void {
                $error = $isGerman ? German::speak($attempt) : $attempt();
            });

            self::assertSame(\PDOException::class, $error::class, "$way: {$error->getMessage()}");
            self::assertStringContainsString($text, $error->getMessage());
            self::assertSame(['08006', 7], array_slice($error->errorInfo, 0, 2));
            self::assertNull($error->getPrevious());
            self::assertLessThan(20.0, $seconds);
        }
    }

    /** @return iterable<string, array{bool, string, string, string, string}> */
    public static function hopeless(): iterable
    {
        yield 'a wrong password' => [false, 'app', 'wrong', '', 'password authentication failed'];
        yield 'a wrong password, in German' => [true, 'app', 'wrong', '', 'Passwort-Authentifizierung'];
        yield 'an unknown database' => [false, 'nosuch', 'app', '', 'does not exist'];
        yield 'an unknown database, in German' => [true, 'nosuch', 'app', '', 'existiert nicht'];
        yield 'TLS refused, in German' => [true, 'app', 'app', 'sslmode=require', 'SSL'];
        yield 'TLS refused' => [false, 'app', 'app', 'sslmode=require', 'server does not support SSL'];
    }

    /** @dataProvider languages */
    public function testAServerThatStartsIsWaitedFor(bool $isGerman): void
    {
        $server = $this->server($isGerman);
        $server->write('recovery.signal', '');
        $server->write('slow', '');
        // It is starting up for as long as the file is there.
        $slow = 'while test -e ' . dirname($server->write('x', '')) . '/slow; do sleep 0.05; done; false';
        $server->start(['restore_command' => $slow, 'wal_level' => 'replica', 'hot_standby' => 'off']);
        HaDsn::configure(self::url($this->led($server), 'failover_timeout=60s'));
        $child = $this->later(static fn() => $server->remove('slow'));

        $connect = static fn(): \PDO => HaDsn::connect('app', 'app');
        $pdo = $isGerman ? German::speak($connect) : $connect();

        pcntl_waitpid($child, $status);
        self::assertSame(1, $pdo->query('SELECT 1')->fetchColumn());
    }

    /** @return iterable<string, array{bool}> */
    public static function languages(): iterable
    {
        yield 'English' => [false];
        yield 'German' => [true];
    }

    /** @dataProvider ways */
    public function testAServerThatIsFullIsTriedAgain(callable $connect): void
    {
        $server = $this->server()->up(['max_connections' => 5, 'superuser_reserved_connections' => 3]);
        HaDsn::configure(self::url($this->led($server), 'failover_timeout=60s'));
        $inside = [$server->connect(), $server->connect()];
        $pid = $inside[0]->query('SELECT pg_backend_pid()')->fetchColumn();
        $child = $this->later(static fn() => posix_kill($pid, SIGTERM));

        self::assertSame(1, $connect()->query('SELECT 1')->fetchColumn());

        pcntl_waitpid($child, $status);
        // That a server is full says nothing against what is known of the cluster.
        self::assertSame('fresh', HaDsn::status()['clusters']['default']['state']);
        unset($inside);
    }

    public function testALeaderThatHangsInTheHandshakeEndsInTime(): void
    {
        // Its kernel takes connections.
        $socket = stream_socket_server('tcp://' . Postgres::HOST . ':0');
        $port = (int) explode(':', (string) stream_socket_get_name($socket, false))[1];
        $patroni = $this->cluster(Nodes::leader(host: Postgres::HOST, more: ['port' => $port]));
        HaDsn::configure(self::url($patroni, 'failover_timeout=1s&connect_timeout=2s'));

        $seconds = self::seconds(function (): void {
            $error = self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::connect('app', 'app'), 'no connection to a leader');
            self::assertInstanceOf(\PDOException::class, $error->getPrevious());
            self::assertStringContainsString('timeout expired', $error->getPrevious()->getMessage());
        });
        self::assertLessThan(10.0, $seconds);
    }

    public function testWhenTimeIsUpTheZeroCodeDsnThrowsAPdoExceptionWithTheReasonBehindIt(): void
    {
        $patroni = $this->cluster(Nodes::leader(host: '127.0.0.1', more: ['port' => (int) explode(':', self::deadAddress())[1]]));
        HaDsn::configure(self::url($patroni, 'failover_timeout=300ms'));

        $error = self::thrown(static fn() => new \PDO('hadsn:', 'app', 'app'));

        self::assertSame(\PDOException::class, $error::class);
        self::assertSame('08006', $error->errorInfo[0]);
        self::assertInstanceOf(HaDsn\NoLeaderException::class, $error->getPrevious());
        self::assertInstanceOf(\PDOException::class, $error->getPrevious()->getPrevious());
        self::assertSame(HaDsn\Verdict::Retry, HaDsn::verdict($error));
    }

    /** @dataProvider ways */
    public function testAReplicaThatClaimsToLeadIsNotHandedOut(callable $connect): void
    {
        // In recovery as far as libpq can see, behind a pooler that does not tell.
        $server = $this->server()->up(['default_transaction_read_only' => 'on']);
        HaDsn::configure(self::url($this->led($server), 'failover_timeout=300ms'));

        $error = self::thrown(static fn() => $connect());

        $cause = $error instanceof HaDsn\NoLeaderException ? $error : $error->getPrevious();
        self::assertInstanceOf(HaDsn\NoLeaderException::class, $cause);
        self::assertStringContainsString('session is read-only', $cause->getPrevious()->getMessage());
    }

    /** @dataProvider ways */
    public function testPersistentConnectionsAreKeptAndDeadOnesAreNotHandedOut(callable $connect): void
    {
        $server = $this->server()->up();
        HaDsn::configure(self::url($this->led($server), 'failover_timeout=60s'));
        $options = [\PDO::ATTR_PERSISTENT => true];
        $pid = static fn(\PDO $pdo): int => $pdo->query('SELECT pg_backend_pid()')->fetchColumn();

        $first = $pid($connect('app', 'app', $options));
        self::assertSame($first, $pid($connect('app', 'app', $options)));

        posix_kill($first, SIGTERM);
        self::await(static fn(): bool => !posix_kill($first, 0), 'the backend is gone');
        self::assertNotSame($first, $pid($connect('app', 'app', $options)));
    }

    /** @dataProvider ways */
    public function testOptionsThatTurnExceptionsOffStay(callable $connect): void
    {
        $server = $this->server()->up();
        self::configure($this->led($server), 'port=' . $server->port);

        $pdo = $connect('app', 'app', [\PDO::ATTR_ERRMODE => \PDO::ERRMODE_SILENT]);

        self::assertFalse($pdo->query('SELECT nonsense'));
    }

    public function testManyConnectionsLeaveNothingBehind(): void
    {
        $server = $this->server()->up();
        self::configure($this->led($server));
        $descriptors = static fn(): int => count(scandir('/proc/self/fd'));
        foreach (self::ways() as [$connect]) {
            $connect();
            [$memory, $open] = [memory_get_usage(), $descriptors()];
            for ($i = 0; $i < 500; $i++) {
                $connect();
            }
            self::assertLessThan(16_384, memory_get_usage() - $memory);
            self::assertSame($open, $descriptors());
        }
    }

    public function testAForkedChildConnectsForItself(): void
    {
        $server = $this->server()->up();
        self::configure($this->led($server));
        $parent = HaDsn::connect('app', 'app');
        $child = pcntl_fork();
        if ($child === 0) {
            // The child has the parent's object, and must not end its connection.
            $own = HaDsn::connect('app', 'app')->query('SELECT 7')->fetchColumn();
            posix_kill(getmypid(), $own === 7 ? SIGKILL : SIGABRT);
        }
        pcntl_waitpid($child, $status);

        self::assertSame(SIGKILL, pcntl_wtermsig($status));
        self::assertSame(1, $parent->query('SELECT 1')->fetchColumn());
        self::assertSame(1, HaDsn::connect('app', 'app')->query('SELECT 1')->fetchColumn());
    }

    /** @dataProvider ways */
    public function testASignalEndsTheWaitAndItsHandlerRuns(callable $connect): void
    {
        $port = (int) explode(':', self::deadAddress())[1];
        HaDsn::configure(self::url($this->cluster(Nodes::leader(host: '127.0.0.1', more: ['port' => $port])), 'failover_timeout=60s'));
        $handled = 0;
        pcntl_async_signals(true);
        pcntl_signal(SIGALRM, static function () use (&$handled): void {
            ++$handled;
        });
        pcntl_alarm(1);
        try {
            $seconds = self::seconds(static fn() => self::thrown(static fn() => $connect()));
        } finally {
            pcntl_alarm(0);
            pcntl_signal(SIGALRM, SIG_DFL);
            pcntl_async_signals(false);
        }

        self::assertSame(1, $handled);
        self::assertLessThan(30.0, $seconds);
    }

    public function testAFatalErrorInsideAConnectLeavesTheWorkerFitForTheNextRequest(): void
    {
        $server = $this->server()->up();
        $good = self::url($this->led($server));
        $port = (int) explode(':', self::deadAddress())[1];
        $bad = self::url($this->cluster(Nodes::leader(host: '127.0.0.1', more: ['port' => $port])), 'failover_timeout=60s');
        // An interrupt is what the end of a time limit is, and what a signal handler runs in.
        $script = '<?php pcntl_async_signals(true);'
            . 'pcntl_signal(SIGALRM, function () { if ($_GET["how"] === "memory") { ini_set("memory_limit", "4M"); str_repeat("x", 1 << 24); } trigger_error("end", E_USER_ERROR); });'
            . 'HaDsn::configure($_GET["url"]); if (isset($_GET["how"])) { pcntl_alarm(1); }'
            . '$pdo = $_GET["by"] === "connect" ? HaDsn::connect("app", "app") : new PDO("hadsn:", "app", "app");'
            . 'echo json_encode($pdo->query("SELECT pg_backend_pid() > 0")->fetchColumn());';
        $web = new WebServer($script, ['display_errors' => '0']);
        foreach (['connect', 'hadsn'] as $by) {
            foreach (['memory', 'fatal'] as $how) {
                self::thrown(static fn() => $web->get(['url' => $bad, 'how' => $how, 'by' => $by]));
                self::assertTrue($web->get(['url' => $good, 'by' => $by]), "$by, $how");
            }
        }
        $web->stop();
    }

    public function testExitInASignalHandlerIsAnExit(): void
    {
        $port = (int) explode(':', self::deadAddress())[1];
        $bad = self::url($this->cluster(Nodes::leader(host: '127.0.0.1', more: ['port' => $port])), 'failover_timeout=60s');
        foreach (['HaDsn::connect("app", "app")', 'new PDO("hadsn:", "app", "app")'] as $connect) {
            $code = 'pcntl_async_signals(true); pcntl_signal(SIGALRM, function (): void { echo "bye"; exit(3); }); pcntl_alarm(1);'
                . "HaDsn::configure(getenv('BAD')); try { $connect; } catch (Throwable \$e) { echo get_class(\$e); } echo 'still here';";

            $outcome = Php::run($code, env: ['BAD' => $bad], timeout: 30.0);

            self::assertSame([3, 'bye'], [$outcome->exitCode, $outcome->stdout], $connect);
        }
    }

    public function testTheTimeLimitEndsAWait(): void
    {
        $port = (int) explode(':', self::deadAddress())[1];
        $bad = self::url($this->cluster(Nodes::leader(host: '127.0.0.1', more: ['port' => $port])), 'failover_timeout=60s');
        // The limit counts processor time; its signal is the same.
        $code = 'set_time_limit(600); HaDsn::configure(getenv("BAD")); register_shutdown_function(fn () => print("shut down"));'
            . '$child = pcntl_fork(); if ($child === 0) { while (true) { usleep(20000); posix_kill(posix_getppid(), SIGPROF); } }'
            . 'register_shutdown_function(fn () => posix_kill($child, SIGKILL)); HaDsn::connect("app", "app");';

        $outcome = Php::run($code, ['display_errors' => 'stderr'], ['BAD' => $bad], 30.0);

        self::assertStringContainsString('Maximum execution time', $outcome->stderr);
        self::assertSame('shut down', $outcome->stdout);
    }

    public function testOpcacheAndItsJitChangeNothing(): void
    {
        $server = $this->server()->up();
        $code = 'HaDsn::configure(getenv("GOOD")); class Own extends PDO {} $all = [];'
            . 'for ($i = 0; $i < 200; $i++) { foreach ([new PDO("hadsn:", "app", "app"), new Own("hadsn:", options: null, password: "app", username: "app"),'
            . ' new PDO(HaDsn::writer(), "app", "app")] as $pdo) { $all[get_class($pdo) . $pdo->query("SELECT 1")->fetchColumn()] = true; } } echo json_encode(array_keys($all));';
        foreach ([['opcache.enable_cli' => '0'], ['opcache.enable_cli' => '1', 'opcache.jit_buffer_size' => '32M', 'opcache.jit' => 'tracing'], ['opcache.enable_cli' => '1', 'opcache.jit_buffer_size' => '32M', 'opcache.jit' => 'function']] as $ini) {
            $outcome = Php::run($code, $ini, ['GOOD' => self::url($this->led($server))]);
            self::assertSame(['PDO1', 'Own1'], $outcome->json());
        }
    }

    public function testOtherDsnsAliasesAndUrisWorkAsEver(): void
    {
        $server = $this->server()->up();
        $file = $server->write('dsn', $server->dsn());
        $code = '$dsn = getenv("DSN"); echo json_encode([(new PDO($dsn, "app", "app"))->query("SELECT 1")->fetchColumn(),'
            . '(new PDO("direct", "app", "app"))->query("SELECT 2")->fetchColumn(), (new PDO("alias", "app", "app"))->query("SELECT 3")->fetchColumn(),'
            . '(new PDO("uri:file://' . $file . '", "app", "app"))->query("SELECT 4")->fetchColumn()]);';
        $ini = ['pdo.dsn.direct' => $server->dsn(), 'pdo.dsn.alias' => 'hadsn:writer', 'hadsn.url' => self::url($this->led($server))];

        self::assertSame([1, 2, 3, 4], Php::run($code, $ini, ['DSN' => $server->dsn()])->json());
        $off = Php::run('try { new PDO("hadsn:"); } catch (PDOException $e) { echo $e->getMessage(); }', ['hadsn.pdo_dsn' => 'off']);
        self::assertSame('could not find driver', $off->stdout);
    }

    /**
     * @dataProvider malformed
     */
    public function testAMalformedDsnIsNamedAndGoesToNoOtherCluster(string $dsn, string $named): void
    {
        $patroni = $this->cluster(Nodes::leader());
        self::configure($patroni);

        $error = self::thrown(static fn() => new \PDO($dsn, 'app', 'app'));

        self::assertSame(\PDOException::class, $error::class);
        self::assertStringContainsString($named, $error->getMessage());
        self::assertInstanceOf(HaDsn\ConfigException::class, $error->getPrevious());
        self::assertSame(0, $patroni->count());
    }

    /** @return iterable<string, array{string, string}> */
    public static function malformed(): iterable
    {
        foreach ([
            'hadsn:orders' => '"orders"',
            'hadsn:Writer' => '"Writer"',
            'hadsn:cluster=nosuch' => '"nosuch"',
            'hadsn:cluster=' => 'cluster ""',
            'hadsn:role=master' => '"master"',
            'hadsn:role=writer;role=writer' => 'role is given twice',
            'hadsn:host=127.0.0.1' => '"host"',
            'hadsn:dbname=' => 'dbname ""',
            'hadsn:max_lag=-1' => '"-1"',
            'hadsn:after=h1' => '"h1"',
            'hadsn:;' => '""',
        ] as $dsn => $named) {
            yield $dsn => [$dsn, $named];
        }
    }

    private function server(bool $isGerman = false): Postgres
    {
        return $this->servers[] = new Postgres($isGerman);
    }

    /** A Patroni whose leader is this server. */
    private function led(Postgres $server): FakePatroni
    {
        return $this->cluster($server->asLeader());
    }

    /** Does something in another process, when this one has begun to wait. */
    private function later(callable $do): int
    {
        $child = pcntl_fork();
        if ($child === 0) {
            usleep(700_000);
            $do();
            posix_kill(getmypid(), SIGKILL);
        }

        return $child;
    }
}
