<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Laravel\PostgresConnection;
use HaDsn\Laravel\ReadYourWrites;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\TransactionException;
use Illuminate\Http\Request;
use Illuminate\Session\ArraySessionHandler;
use Illuminate\Session\Store;

/**
 * What the middleware keeps in the session, and what it makes of what it finds there.
 */
final class ReadYourWritesTest extends LaravelTestCase
{
    private const KEY = 'hadsn.positions';

    private app\Application $app;
    private Store $session;

    protected function setUp(): void
    {
        parent::setUp();
        $this->app = $this->application();
        $this->session = new Store('session', new ArraySessionHandler(10));
    }

    public function testAPositionIsKeptForWhatWasWritten(): void
    {
        $this->request(fn() => $this->db()->selectOne('SELECT 1 AS one'));
        self::assertNull($this->session->get(self::KEY));

        self::assertSame('the response', $this->request(function (): string {
            $this->db()->table('entry')->insert(['number' => 1]);

            return 'the response';
        }));

        self::assertSame(['pgsql'], array_keys($this->session->get(self::KEY)));
        self::assertMatchesRegularExpression('~^h1-1-[0-9A-F]+/[0-9A-F]+$~', $this->session->get(self::KEY)['pgsql']);
        $this->app = $this->application();
        self::assertSame(1, $this->request(fn() => $this->db()->table('entry')->count()));
    }

    public function testTheNextRequestOfTheSameProcessReadsAsItLikes(): void
    {
        $this->request(fn() => $this->db()->table('entry')->insert(['number' => 1]));
        $this->db()->forgetRecordModificationState();
        $later = $this->later($this->session->get(self::KEY)['pgsql']);
        $pdo = $this->db()->getReadPdo();

        foreach ([$later, true] as $position) {
            $this->session->put(self::KEY, ['pgsql' => $position]);
            $thrown = self::thrown(fn() => $this->request(static fn() => throw new \DomainException('no')));

            self::assertInstanceOf(\DomainException::class, $thrown);
            self::assertSame($pdo, $this->db()->getReadPdo(), 'one that is behind would not be kept');
        }
    }

    /** @dataProvider rubbish */
    public function testWhatIsLeftInASessionBreaksNoRequest(mixed $kept): void
    {
        $this->app->make('config')->set('database.connections.broken', ['driver' => 'pgsql', 'hadsn' => 'No name!', 'database' => 'app']);
        $this->app->make('config')->set('database.connections.sqlite', ['driver' => 'sqlite', 'database' => ':memory:']);
        $this->session->put(self::KEY, $kept);

        self::assertSame(1, $this->request(fn() => $this->db()->selectOne('SELECT 1 AS one')->one));
        $this->request(fn() => $this->db()->table('entry')->insert(['number' => 1]));

        self::assertIsString($this->session->get(self::KEY)['pgsql']);
    }

    /** @return iterable<string, array{mixed}> */
    public static function rubbish(): iterable
    {
        yield 'no array' => ['h1-1-0/1'];
        yield 'a token of another version' => [['pgsql' => 'h2-1-0/1-xyz']];
        yield 'no token' => [['pgsql' => ['lsn' => 7]]];
        yield 'a timeline that never was' => [['pgsql' => 'h1-4000000000-0/1']];
        yield 'a connection that is gone' => [['orders' => 'h1-1-0/1']];
        yield 'one without a name' => [['h1-1-0/1']];
        yield 'one that is wrong by now' => [['broken' => 'h1-1-0/1']];
        yield 'one that is not of hadsn' => [['sqlite' => 'h1-1-0/1']];
    }

    public function testAPositionThatCouldNotBeHadIsHadInTheNextRequest(): void
    {
        $this->request(function (): void {
            $this->db()->beginTransaction();
            $this->db()->table('entry')->insert(['number' => 1]);
        });
        self::assertSame(['pgsql' => true], $this->session->get(self::KEY));

        $this->app = $this->application();
        self::assertTrue($this->request(fn() => $this->db()->getReadPdo() === $this->db()->getPdo()), 'it reads from the leader');

        self::assertIsString($this->session->get(self::KEY)['pgsql']);
    }

    public function testNobodyWaitsForALeaderOnlyForAPosition(): void
    {
        $seconds = self::seconds(fn() => $this->request(function (): void {
            $this->db()->table('entry')->insert(['number' => 1]);
            self::terminate($this->db()->getPdo());
            $this->network->will(Proxy::DOWN);
        }));

        self::assertLessThan(self::SOON, $seconds);
        self::assertSame(['pgsql' => true], $this->session->get(self::KEY));
    }

    public function testAllSidesOfAConnectionAreOne(): void
    {
        $this->request(function (): void {
            $this->app->db()->connection('pgsql::write')->table('entry')->insert(['number' => 1]);
            $this->app->db()->connection('pgsql::read')->selectOne('SELECT 1');
            $this->app->db()->connection('pgsql::read')->recordsHaveBeenModified();
        });

        self::assertSame(['pgsql'], array_keys($this->session->get(self::KEY)));
        self::assertIsString($this->session->get(self::KEY)['pgsql']);
    }

    public function testEachConnectionHasItsOwn(): void
    {
        $this->app->make('config')->set('database.connections.orders', $this->app->make('config')->get('database.connections.pgsql'));
        $this->session->put(self::KEY, ['orders' => 'h1-1-0/1']);

        $this->request(fn() => $this->db()->table('entry')->insert(['number' => 1]));

        $positions = $this->session->get(self::KEY);
        ksort($positions);
        self::assertSame(['orders', 'pgsql'], array_keys($positions));
        self::assertSame('h1-1-0/1', $positions['orders']);
    }

    public function testARequestWithoutASessionIsLeftAlone(): void
    {
        $middleware = new ReadYourWrites($this->app->db());

        self::assertSame(1, $middleware->handle(new Request(), fn() => $this->db()->selectOne('SELECT 1 AS one')->one));
    }

    private function request(\Closure $answer): mixed
    {
        $request = new Request();
        $request->setLaravelSession($this->session);

        return (new ReadYourWrites($this->app->db()))->handle($request, $answer);
    }

    private function db(): PostgresConnection
    {
        return $this->app->db()->connection();
    }

    public function testAPositionIsAskedForAgainWhenTheConnectionIsLost(): void
    {
        $db = $this->connection();
        $before = $db->position();
        self::terminate($db->getPdo());

        self::assertNotSame('', $before);
        self::assertStringStartsWith('h1-', $db->position());
    }

    public function testThereIsNoPositionWithinATransactionByHand(): void
    {
        $db = $this->connection();
        $db->unprepared('BEGIN');

        self::assertThrows(TransactionException::class, static fn() => $db->position());
    }

    /** A position that is not reached yet. */
    private function later(string $token): string
    {
        return substr($token, 0, (int) strrpos($token, '/') + 1) . 'FFFFFFFF';
    }
}
