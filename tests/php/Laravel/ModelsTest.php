<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Laravel\PostgresConnection;
use HaDsn\Tests\Laravel\app\Entry;
use HaDsn\TransactionException;
use Illuminate\Database\Eloquent\Model;

/**
 * What becomes of Eloquent's models when a transaction is run again: they remember what was lost with the first run.
 */
final class ModelsTest extends LaravelTestCase
{
    private PostgresConnection $db;
    private int $runs = 0;

    protected function setUp(): void
    {
        parent::setUp();
        $app = $this->application();
        $this->db = $this->connectionOf($app);
        Model::setConnectionResolver($app->db());
        Model::setEventDispatcher($app->make('events'));
        Model::clearBootedModels();
    }

    protected function tearDown(): void
    {
        Model::unsetConnectionResolver();
        Model::unsetEventDispatcher();
        Model::clearBootedModels();
        parent::tearDown();
    }

    public function testThoseThatAreMadeInTheWorkAreStored(): void
    {
        $this->db->transaction(function (): void {
            Entry::query()->create(['number' => 1]);
            $this->loseTheFirst();
        });

        self::assertSame([2, [1]], [$this->runs, self::entries()]);
    }

    public function testOneFromOutsideThatIsNotStoredAgainIsNoSuccess(): void
    {
        $entry = new Entry(['number' => 1]);

        self::assertThrows(TransactionException::class, fn() => $this->db->transaction(function () use ($entry): void {
            $entry->save();
            $this->loseTheFirst();
            $this->db->table('entry')->where('number', 2)->delete();
        }), 'make and fetch models in the work');

        self::assertSame([2, 0, []], [$this->runs, $this->db->transactionLevel(), self::entries()]);
        self::assertSame(7, $this->db->transaction(static fn() => 7));
    }

    public function testOneThatWasFetchedOutsideIsNotTakenForChanged(): void
    {
        $entry = Entry::query()->create(['number' => 1]);

        self::assertThrows(TransactionException::class, fn() => $this->db->transaction(function () use ($entry): void {
            $entry->fill(['number' => 2])->save();
            $this->loseTheFirst();
        }));

        self::assertSame([2, [1]], [$this->runs, self::entries()]);
    }

    public function testSaveOrFailFails(): void
    {
        Entry::saved(fn() => $this->loseTheFirst());

        self::assertThrows(TransactionException::class, static fn() => (new Entry(['number' => 1]))->saveOrFail());

        self::assertSame([], self::entries());
    }

    private function loseTheFirst(): void
    {
        if (++$this->runs === 1) {
            self::terminate($this->db->getPdo());
        }
    }

    private function connectionOf(app\Application $app): PostgresConnection
    {
        $connection = $app->db()->connection();
        self::assertInstanceOf(PostgresConnection::class, $connection);

        return $connection;
    }
}
