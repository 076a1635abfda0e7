<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use Doctrine\DBAL\Connection;
use Doctrine\DBAL\Connections\PrimaryReadReplicaConnection;
use Doctrine\DBAL\Driver\PDO\PgSQL\Driver as PgSqlDriver;
use Doctrine\DBAL\Exception\ConnectionException;
use Doctrine\DBAL\Exception\ConnectionLost;
use Doctrine\DBAL\Logging\Middleware as LoggingMiddleware;
use Doctrine\DBAL\Tools\DsnParser;
use HaDsn\CommitUnknownException;
use HaDsn\ConfigException;
use HaDsn\Doctrine\Middleware;
use HaDsn\Doctrine\Transactions;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use Psr\Log\AbstractLogger;

/**
 * What the parameters of a connection do when hadsn makes it, and what the driver tells DBAL of its end.
 */
final class DriverTest extends DoctrineTestCase
{
    public function testWhatDoctrinesOwnDriverReadsIsRead(): void
    {
        $parameters = [
            'charset' => 'latin1',
            'application_name' => 'jobs',
            'driverOptions' => [\PDO::ATTR_CASE => \PDO::CASE_UPPER],
        ];
        $direct = self::connection($parameters + ['host' => Postgres::HOST, 'port' => self::$server->port], []);
        $db = self::connection($parameters);

        $session = "SELECT current_user AS u, current_database() AS d, current_setting('client_encoding') AS e, current_setting('application_name') AS a";
        self::assertSame($direct->fetchAssociative($session), $db->fetchAssociative($session));
        self::assertSame(get_class($direct->getNativeConnection()), get_class($db->getNativeConnection()));
        $own = $direct->getNativeConnection();
        foreach ([\PDO::ATTR_ERRMODE, \PDO::ATTR_PERSISTENT, self::disablePrepares()] as $attribute) {
            self::assertSame($own->getAttribute($attribute), $db->getNativeConnection()->getAttribute($attribute));
        }
        self::assertSame("it is new; isn't it", self::connection(['application_name' => "it is new; isn't it"])->fetchOne("SELECT current_setting('application_name')"));
        $prepares = self::connection(['driverOptions' => [self::disablePrepares() => false], 'persistent' => true])->getNativeConnection();
        self::assertFalse($prepares->getAttribute(self::disablePrepares()));
        self::assertTrue($prepares->getAttribute(\PDO::ATTR_PERSISTENT));
    }

    public function testAUrlMaySayIt(): void
    {
        $url = 'pdo-pgsql://app:app@nowhere.invalid/app?charset=latin1&hadsn=writer';
        $db = self::connection((new DsnParser())->parse($url));

        self::assertSame('LATIN1', $db->fetchOne("SELECT current_setting('client_encoding')"));
    }

    public function testWithoutADatabaseItIsThatOfTheSource(): void
    {
        self::assertSame('app', self::connection(['dbname' => null])->fetchOne('SELECT current_database()'));
        self::assertSame('postgres', self::connection(['dbname' => 'postgres'])->fetchOne('SELECT current_database()'));
        self::assertSame('postgres', self::connection(['dbname' => null, 'default_dbname' => 'postgres'])->fetchOne('SELECT current_database()'));
    }

    public function testWithoutAUserItIsThatOfTheSource(): void
    {
        \HaDsn::configure(str_replace('://', '://app:app@', self::url($this->patroni)));

        self::assertSame('app', self::connection(['user' => '', 'password' => ''])->fetchOne('SELECT current_user'));
    }

    public function testFalseLeavesAConnectionToDoctrine(): void
    {
        \HaDsn::configure(self::url(self::deadAddress()));
        $db = self::connection(['hadsn' => false, 'host' => Postgres::HOST, 'port' => self::$server->port]);

        self::assertSame(self::$server->port, $db->fetchOne('SELECT inet_server_port()'));
    }

    /**
     * @dataProvider unset
     */
    public function testWhatIsEmptyIsNotSaid(mixed $hadsn): void
    {
        \HaDsn::configure(self::url($this->patroni), 'orders');
        \HaDsn::configure(self::url(self::deadAddress(), 'failover_timeout=300ms'));

        self::assertSame(1, self::connection(['hadsn' => $hadsn], [new Middleware('orders')])->fetchOne('SELECT 1'));
    }

    /** @return iterable<array{mixed}> */
    public static function unset(): iterable
    {
        yield 'null' => [null];
        yield 'true' => [true];
        yield 'empty' => [''];
        yield 'empty keys' => [['cluster' => '', 'role' => '']];
        yield 'no token yet' => [['role' => 'reader', 'after' => null, 'max_lag' => null]];
    }

    /**
     * @dataProvider mistakes
     *
     * @param array<string, mixed> $parameters
     */
    public function testAMistakeIsNamed(array $parameters, string $text): void
    {
        $db = self::connection($parameters);

        $thrown = self::thrown(static fn() => $db->fetchOne('SELECT 1'));

        self::assertStringContainsString($text, $thrown->getMessage());
        self::assertStringNotContainsString('hunter2', (string) $thrown);
    }

    /** @return iterable<string, array{array<string, mixed>, string}> */
    public static function mistakes(): iterable
    {
        $secret = ['password' => 'hunter2'];
        yield 'a role that there is not' => [$secret + ['hadsn' => 'primary'], 'primary'];
        yield 'a list' => [$secret + ['hadsn' => ['role' => []]], 'parameter hadsn, role: expected a text or a number'];
        yield 'a number for a role' => [$secret + ['hadsn' => 1.5], 'parameter hadsn, role: expected a text or a number'];
        yield 'an unknown key' => [$secret + ['hadsn' => ['rolle' => 'reader']], 'rolle'];
        yield 'a semicolon' => [$secret + ['hadsn' => 'reader;cluster=other'], 'parameter role: a semicolon'];
        yield 'a semicolon in the database' => [$secret + ['dbname' => 'app;role=reader'], 'parameter dbname: a semicolon'];
        yield 'a password that is no text' => [['password' => ['hunter2']], 'parameter password: expected a text'];
        yield 'a wrong password' => [$secret, 'password authentication failed'];
        yield 'a wrong charset' => [['charset' => 'klingon'], 'klingon'];
    }

    /**
     * @dataProvider tls
     *
     * @param array<string, string> $parameters
     */
    public function testTlsThatTheSourceDoesNotAskForIsRefused(array $parameters, string $source, ?string $refused): void
    {
        self::configure($this->patroni, "gssencmode=disable$source&failover_timeout=300ms");
        $db = self::connection($parameters);

        try {
            $thrown = null;
            $db->fetchOne('SELECT 1');
        } catch (\Throwable $thrown) {
            // What the server, which has no TLS, says to it is not the question.
        }

        if ($refused === null) {
            self::assertNotInstanceOf(ConfigException::class, $thrown);
        } else {
            self::assertInstanceOf(ConfigException::class, $thrown);
            self::assertStringContainsString("parameter $refused: it has to stand in the source of the cluster default too: …?$refused=", $thrown->getMessage());
        }
    }

    /** @return iterable<string, array{array<string, string>, string, string|null}> */
    public static function tls(): iterable
    {
        yield 'nothing' => [['sslmode' => 'prefer'], '', null];
        yield 'only here' => [['sslmode' => 'require'], '', 'sslmode'];
        yield 'less there' => [['sslmode' => 'verify-full'], '&sslmode=require', 'sslmode'];
        yield 'as much there' => [['sslmode' => 'verify-full', 'sslrootcert' => '/a b'], '&sslmode=verify-full&sslrootcert=%2Fa%20b', null];
        yield 'more there' => [['sslmode' => 'require'], '&sslmode=verify-ca', null];
        yield 'misspelt' => [['sslmode' => 'verify_full'], '&sslmode=verify-full', 'sslmode'];
        yield 'a list of revoked certificates' => [['sslcrl' => '/crl'], '&sslmode=require', 'sslcrl'];
        yield 'a client certificate' => [['sslcert' => '/crt'], '&sslmode=require', 'sslcert'];
        yield 'Kerberos' => [['gssencmode' => 'require'], '', 'gssencmode'];
        yield 'no Kerberos' => [['gssencmode' => 'disable'], '', null];
    }

    public function testAnotherDriverIsRefused(): void
    {
        foreach (['pgsql', 'pdo_sqlite'] as $driver) {
            $db = self::connection(['driver' => $driver, 'memory' => true]);
            self::assertThrows(ConfigException::class, static fn() => $db->fetchOne('SELECT 1'), 'in place of the driver pdo_pgsql', 'was given Doctrine');
        }
        $db = self::connection(['driver' => null, 'driverClass' => PgSqlDriver::class]);
        self::assertSame(1, $db->fetchOne('SELECT 1'));
    }

    public function testOtherMiddlewaresBelongBehindIt(): void
    {
        $log = new class extends AbstractLogger {
            /** @var list<string> */
            public array $statements = [];

            public function log($level, $message, array $context = []): void
            {
                $this->statements[] = $context['sql'] ?? '';
            }
        };
        $logging = new LoggingMiddleware($log);
        $db = self::connection(middlewares: [new Middleware(), $logging]);

        $result = Transactions::run($db, static fn(Connection $db) => $db->fetchOne('SELECT 5'));

        self::assertSame(5, $result);
        self::assertContains('SELECT 5', $log->statements);
        self::terminate($db);
        self::assertThrows(ConnectionLost::class, static fn() => $db->fetchOne('SELECT 1'));
        self::assertSame(1, $db->fetchOne('SELECT 1'));

        // In front of it, it would never be asked, and log nothing.
        $db = self::connection(middlewares: [$logging, new Middleware()]);
        self::assertThrows(ConfigException::class, static fn() => $db->fetchOne('SELECT 1'), 'in front of other middlewares');
    }

    public function testWithoutTheDsnsOfHadsnItSaysSo(): void
    {
        $autoload = var_export(__DIR__ . '/autoload.php', true);
        $code = "require $autoload;" . <<<'PHP'
            $configuration = new Doctrine\DBAL\Configuration();
            $configuration->setMiddlewares([new HaDsn\Doctrine\Middleware()]);
            try {
                Doctrine\DBAL\DriverManager::getConnection(['driver' => 'pdo_pgsql'], $configuration)->fetchOne('SELECT 1');
            } catch (HaDsn\ConfigException $e) {
                echo $e->getMessage();
            }
            PHP;

        self::assertSame('parameter hadsn: hadsn.pdo_dsn is off in php.ini, and is needed here', Php::run($code, ['hadsn.pdo_dsn' => 'off'])->stdout);
    }

    public function testALostConnectionIsReplacedByTheNextStatementAndHadsnIsTold(): void
    {
        $db = self::connection();
        $ways = [
            'told by the server' => static fn() => self::terminate($db),
            'without a word' => fn() => $this->network->will(Proxy::CLOSE),
        ];
        foreach ($ways as $way => $break) {
            $db->fetchOne('SELECT 1');
            $break();
            self::assertNotSame('suspect', self::state(), $way);

            self::assertThrows(ConnectionLost::class, static fn() => $db->fetchOne('SELECT 1'));

            self::assertSame('suspect', self::state(), $way);
            self::assertSame(1, $db->fetchOne('SELECT 1'), $way);
        }
    }

    public function testAWriteThatTheServerDoesNotTakeIsALostConnection(): void
    {
        $db = self::connection();
        $db->beginTransaction();
        $db->executeStatement('SET TRANSACTION READ ONLY');

        self::assertThrows(ConnectionLost::class, static fn() => self::insert($db, 1), 'read-only transaction');

        self::assertFalse($db->isTransactionActive());
        self::insert($db, 2);
        self::assertSame([2], self::entries());
    }

    public function testAConnectionThatDoesNotComeAboutIsNotALostOne(): void
    {
        $this->patroni->answers(Answer::members(Nodes::leader('own', '127.0.0.1', ['port' => (int) explode(':', self::deadAddress())[1]])));
        self::configure($this->patroni, 'failover_timeout=300ms');
        $db = self::connection(['password' => 'hunter2']);

        $thrown = self::assertThrows(ConnectionException::class, static fn() => $db->fetchOne('SELECT 1'));

        self::assertNotInstanceOf(ConnectionLost::class, $thrown);
        self::assertStringNotContainsString('hunter2', (string) $thrown);
        $innermost = $thrown;
        while ($innermost->getPrevious() !== null) {
            $innermost = $innermost->getPrevious();
        }
        self::assertStringContainsString('refused', $innermost->getMessage());
    }

    public function testWhoHasWrittenIsNotSentToAReplicaByALoss(): void
    {
        [$replica, $db] = $this->withReplica();
        self::assertSame($replica->port, self::port($db));
        self::insert($db, 1);
        self::assertSame(self::$server->port, self::port($db));
        $this->network->will(Proxy::CLOSE);

        self::assertThrows(ConnectionLost::class, static fn() => $db->fetchOne('SELECT 1'));

        self::assertSame(self::$server->port, self::port($db));
        self::assertFalse($db->isTransactionActive());
        $db->close();
        self::assertSame($replica->port, self::port($db));
        $replica->stop();
    }

    public function testWhoLooksForACommitInDoubtLooksAtTheLeader(): void
    {
        [$replica, $db] = $this->withReplica();
        $work = function (Connection $db): void {
            self::insert($db, 7);
            $this->network->will(Proxy::CLOSE_AFTER_COMMIT);
        };

        self::assertThrows(CommitUnknownException::class, static fn() => Transactions::run($db, $work));

        $this->network->will(Proxy::PASS);
        self::assertSame(7, $db->fetchOne('SELECT number FROM entry'));
        self::assertSame(self::$server->port, self::port($db));
        $replica->stop();
    }

    public function testWhoHasOnlyReadIsSentToAReplicaAgain(): void
    {
        [$replica, $db] = $this->withReplica();
        $pid = (int) $db->fetchOne('SELECT pg_backend_pid()');
        $replica->connect('postgres')->query("SELECT pg_terminate_backend($pid, 5000)")->fetchAll();

        self::assertThrows(ConnectionLost::class, static fn() => $db->fetchOne('SELECT 1'));

        self::assertSame($replica->port, self::port($db));
        $replica->stop();
    }

    /** @return array{Postgres, Connection} a replica, and a connection that reads from it until it writes */
    private function withReplica(): array
    {
        $replica = new Postgres();
        $replica->write('standby.signal', '');
        $replica->up(['wal_level' => 'replica', 'max_wal_senders' => 10]);
        $this->patroni->answers(Answer::members($this->leader(), ['name' => 'two'] + $replica->asReplica()));
        \HaDsn::invalidate();
        $db = self::connection([
            'wrapperClass' => PrimaryReadReplicaConnection::class,
            'primary' => self::CREDENTIALS,
            'replica' => [self::CREDENTIALS + ['hadsn' => 'reader']],
        ]);

        return [$replica, $db];
    }

    private static function port(Connection $db): int
    {
        return (int) $db->fetchOne('SELECT inet_server_port()');
    }

    private static function disablePrepares(): int
    {
        return \PHP_VERSION_ID >= 80400 ? \Pdo\Pgsql::ATTR_DISABLE_PREPARES : \PDO::PGSQL_ATTR_DISABLE_PREPARES;
    }
}
