<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Laravel\FailoverException;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Verdict;

/**
 * A connection that is made anew: by the application, and of `pgsql::read` and `pgsql::write`, which Laravel connects at once.
 */
final class SidesTest extends LaravelTestCase
{
    /** @dataProvider sides */
    public function testWithoutALeaderItIsSaidSo(string $side): void
    {
        $db = $this->application(['hadsn' => $this->source('&timeout=500ms&failover_timeout=500ms')])->db()->connection("pgsql::$side");
        $pdo = $db->getPdo();
        self::terminate($pdo);
        self::thrown(static fn() => $pdo->query('SELECT 1'));
        $this->network->will(Proxy::DOWN);

        foreach (['SELECT', 'UPDATE', 'BEGIN'] as $what) {
            $thrown = self::thrown(static fn() => match ($what) {
                'SELECT' => $db->select('SELECT 1'),
                'UPDATE' => $db->update('UPDATE entry SET number = 1'),
                'BEGIN' => $db->transaction(static fn() => 1),
            });
            self::assertInstanceOf(\HaDsn\Exception::class, $thrown, $what . ': ' . $thrown::class . ': ' . $thrown->getMessage());
            if ($thrown instanceof FailoverException) {
                self::assertSame(Verdict::Retry, $thrown->verdict);
            }
        }

        $this->network->will(Proxy::PASS);
        self::assertSame(1, $db->selectOne('SELECT 1 AS one')->one);
        self::assertSame(2, $db->transaction(static fn() => 2));
    }

    /** @return iterable<string, array{string}> */
    public static function sides(): iterable
    {
        yield 'read' => ['read'];
        yield 'write' => ['write'];
    }

    /** @dataProvider again */
    public function testWhatIsConnectedAgainFindsTheNewLeader(callable $again): void
    {
        $fake = $this->cluster($this->leader($this->network));
        $app = $this->application(['hadsn' => self::url($fake, 'sslmode=disable&gssencmode=disable&poll=50ms&ttl=100ms')]);
        $app->db()->connection()->getPdo();
        $other = new Proxy(Postgres::HOST, self::$server->port);
        try {
            $fake->answers(Answer::members($this->leader($other)));
            // From here on, only the new one takes connections.
            $this->network->will(Proxy::DOWN);
            self::await(static fn(): bool => \HaDsn::topology('laravel_pgsql')->leader?->port === $other->port, 'the new leader is known');

            $again($app->db());

            self::assertTrue($app->db()->connection()->table('entry')->insert(['number' => 2]));
            self::assertSame(2, $app->db()->connection()->table('entry')->max('number'));
        } finally {
            $other->stop();
        }
    }

    /** @return iterable<string, array{callable(\Illuminate\Database\DatabaseManager): mixed}> */
    public static function again(): iterable
    {
        yield 'reconnect' => [static fn($db) => $db->reconnect()];
        yield 'disconnect, as Octane does after each request' => [static fn($db) => array_map(static fn($connection) => $connection->disconnect(), $db->getConnections())];
        yield 'purge' => [static fn($db) => $db->purge()];
        yield 'the side for writing is connected' => [static fn($db) => $db->connection('pgsql::write')->table('entry')->insert(['number' => 1]) && $db->purge()];
    }

    /** @return array<string, mixed> */
    private function leader(Proxy $network): array
    {
        return Nodes::leader('own', Proxy::HOST, ['port' => $network->port, 'timeline' => null]);
    }
}
