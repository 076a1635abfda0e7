<?php

declare(strict_types=1);

namespace HaDsn\Tests\Lab;

use HaDsn;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;

/**
 * A healthy cluster.
 */
final class ConnectTest extends LabTestCase
{
    public function testTheWriterNamesTheLeaderAndPdoWritesThroughIt(): void
    {
        $pdo = Lab::connect(HaDsn::writer());
        $pdo->exec('CREATE TEMPORARY TABLE scratch (x int)');

        self::assertSame(1, $pdo->exec('INSERT INTO scratch VALUES (1)'));
        self::assertSame(Lab::address(Lab::leader()), self::server($pdo));
        self::assertSame(self::host(HaDsn::writer()), self::server($pdo));
        self::assertFalse(Lab::ask($pdo, 'SELECT pg_is_in_recovery()'));
        self::assertSame('app', Lab::ask($pdo, 'SELECT current_database()'));
    }

    public function testReadersAlternateBetweenTheReplicas(): void
    {
        $servers = [];
        for ($i = 0; $i < 6; ++$i) {
            $pdo = Lab::connect(HaDsn::reader());
            self::assertTrue(Lab::ask($pdo, 'SELECT pg_is_in_recovery()'));
            $servers[] = self::server($pdo);
        }

        self::assertEqualsCanonicalizing(self::replicas(), array_slice($servers, 0, 2));
        self::assertSame(array_slice($servers, 0, 2), array_slice($servers, 2, 2));
        self::assertSame(array_slice($servers, 0, 2), array_slice($servers, 4, 2));
    }

    public function testPgConnectTakesConninfo(): void
    {
        HaDsn::configure(strtr(Lab::URL, ['//' => '//app:app@']));
        $one = static fn(\PgSql\Connection $connection, string $query): mixed => pg_fetch_result(pg_query($connection, $query), 0, 0);

        $writer = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
        $reader = pg_connect(HaDsn::conninfo('reader'), PGSQL_CONNECT_FORCE_NEW);

        self::assertSame(
            ['f', Lab::address(Lab::leader())],
            [$one($writer, 'SELECT pg_is_in_recovery()'), $one($writer, 'SELECT host(inet_server_addr())')],
        );
        self::assertSame('t', $one($reader, 'SELECT pg_is_in_recovery()'));
        self::assertContains($one($reader, 'SELECT host(inet_server_addr())'), self::replicas());
    }

    public function testTheTopologyIsWhatTheNodesSayThemselves(): void
    {
        $status = Lab::status();
        $topology = HaDsn::topology();

        self::assertSame($status['leader'], $topology->leader?->name);
        self::assertSame(['pg1', 'pg2', 'pg3'], array_column($topology->members, 'name'));
        foreach ($status['nodes'] as $i => $node) {
            $member = $topology->members[$i];
            self::assertSame(
                [$node['name'], $node['address'], $node['role'], $node['state'], $node['timeline']],
                [$member->name, $member->host, $member->role, $member->state, $member->timeline],
            );
            self::assertSame(5432, $member->port);
            self::assertSame("http://{$node['address']}:8008/patroni", $member->apiUrl);
            self::assertSame($node['role'] === 'leader', $member->lag === null);
        }
        self::assertSame($topology->leader->timeline, $topology->timeline);
    }

    public function testTheWritersDsnRefusesAReplica(): void
    {
        $dsn = strtr(HaDsn::writer(), [self::host(HaDsn::writer()) => self::replicas()[0]]);

        self::assertThrows(\PDOException::class, static fn() => Lab::connect($dsn), 'read-only');
    }

    public function testAWrongPasswordIsAnOrdinaryPdoException(): void
    {
        foreach ([HaDsn::writer(), HaDsn::reader()] as $dsn) {
            $thrown = self::assertThrows(
                \PDOException::class,
                static fn() => Lab::connect($dsn, 'app', 'wrong'),
                'password authentication failed for user "app"',
            );
            self::assertNotInstanceOf(HaDsn\Exception::class, $thrown);
        }
        self::assertThrows(
            \PDOException::class,
            static fn() => Lab::connect(HaDsn::writer(), 'nobody', 'app'),
            'password authentication failed for user "nobody"',
        );
        self::assertSame('fresh', HaDsn::status()['clusters']['default']['state']);
    }

    public function testAnUnknownDatabaseIsAnOrdinaryPdoException(): void
    {
        HaDsn::configure(strtr(Lab::URL, ['/app' => '/missing']));

        self::assertThrows(\PDOException::class, static fn() => Lab::connect(HaDsn::writer()), 'database "missing" does not exist');
    }

    public function testLibpqOptionsReachTheServer(): void
    {
        $name = "it's a \\ \"shop\"";
        HaDsn::configure(
            Lab::URL . '?application_name=' . rawurlencode($name) . '&options=' . rawurlencode('-c work_mem=12MB -c geqo=off'),
        );

        $pdo = Lab::connect(HaDsn::writer());

        self::assertSame([$name, '12MB', 'off'], [
            Lab::ask($pdo, 'SHOW application_name'),
            Lab::ask($pdo, 'SHOW work_mem'),
            Lab::ask($pdo, 'SHOW geqo'),
        ]);
    }

    /**
     * @dataProvider awkwardNames
     */
    public function testADatabaseOfAnAwkwardNameIsConnectedTo(string $name): void
    {
        $quoted = '"' . strtr($name, ['"' => '""']) . '"';
        $admin = Lab::connect(HaDsn::writer(), 'postgres', 'postgres');
        $admin->exec("CREATE DATABASE $quoted");
        try {
            HaDsn::configure(strtr(Lab::URL, ['//' => '//postgres:postgres@', '/app' => '/' . rawurlencode($name)]), 'awkward');

            if (!str_contains($name, ';')) {
                self::assertSame(
                    $name,
                    Lab::ask(Lab::connect(HaDsn::writer('awkward'), 'postgres', 'postgres'), 'SELECT current_database()'),
                );
            }
            $connection = pg_connect(HaDsn::conninfo('writer', 'awkward'), PGSQL_CONNECT_FORCE_NEW);
            self::assertSame($name, pg_fetch_result(pg_query($connection, 'SELECT current_database()'), 0, 0));
            pg_close($connection);
        } finally {
            $admin->exec("DROP DATABASE IF EXISTS $quoted WITH (FORCE)");
        }
    }

    /** @return iterable<string, array{string}> */
    public static function awkwardNames(): iterable
    {
        yield 'everything that has to be quoted' => ["o'hara \"x\" = \\ \n ü"];
        yield 'a keyword' => ["app' host='127.0.0.99"];
        yield 'a semicolon' => ['app;host=127.0.0.99'];
    }

    /** @return list<string> the addresses of the replicas */
    private static function replicas(): array
    {
        $replicas = array_filter(Lab::status()['nodes'], static fn(array $node): bool => $node['role'] !== 'leader');

        return array_column($replicas, 'address');
    }
}
