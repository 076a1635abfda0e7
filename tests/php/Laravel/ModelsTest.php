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

        self::assertSame([0, []], [$this->db->transactionLevel(), self::entries()]);
        self::assertSame(7, $this->db->transaction(static fn() => 7));
    }

    public function testOneThatWasFetchedOutsideIsNotTakenForChanged(): void
    {
        $entry = Entry::query()->create(['number' => 1]);

        self::assertThrows(TransactionException::class, fn() => $this->db->transaction(function () use ($entry): void {
            $entry->fill(['number' => 2])->save();
            $this->loseTheFirst();
        }));

        self::assertSame([1], self::entries());
    }

    public function testSaveOrFailFails(): void
    {
        Entry::saved(fn() => $this->loseTheFirst());

        self::assertThrows(TransactionException::class, static fn() => (new Entry(['number' => 1]))->saveOrFail());

        self::assertSame([], self::entries());
    }

    public function testNoneOfSeveralFromOutsideIsLeftOut(): void
    {
        $entries = [new Entry(['number' => 1]), new Entry(['number' => 2]), new Entry(['number' => 3])];

        self::assertThrows(TransactionException::class, fn() => $this->db->transaction(function () use ($entries): void {
            foreach ($entries as $entry) {
                $entry->save();
                $this->loseTheFirst();
            }
        }));

        self::assertSame([], self::entries());
    }

    public function testWhoCatchesItCommitsNothingAllTheSame(): void
    {
        $entry = new Entry(['number' => 1]);

        self::assertThrows(TransactionException::class, fn() => $this->db->transaction(function () use ($entry): void {
            Entry::query()->create(['number' => 2]);
            try {
                $entry->save();
            } catch (TransactionException) {
                // It is not the work's to decide.
            }
            $this->loseTheFirst();
        }));

        self::assertSame([], self::entries());
    }

    public function testOneThatTakesItselfForDeletedIsNoSuccess(): void
    {
        $entry = Entry::query()->create(['number' => 1]);

        self::assertThrows(TransactionException::class, fn() => $this->db->transaction(function () use ($entry): void {
            $entry->delete();
            $this->loseTheFirst();
            $this->db->selectOne('SELECT 1');
        }));

        self::assertSame([1], self::entries());
    }

    public function testTheRepeatMayDoSomethingElse(): void
    {
        $outside = new Entry(['number' => 3]);
        $this->db->transaction(function () use ($outside): void {
            if ($this->runs === 0) {
                Entry::query()->create(['number' => 1]);
                Entry::query()->whereKey(1)->first()?->delete();
            } else {
                $outside->save();
            }
            $this->loseTheFirst();
        });

        self::assertSame([3], self::entries());
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
