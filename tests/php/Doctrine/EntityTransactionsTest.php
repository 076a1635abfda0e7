<?php

declare(strict_types=1);

namespace HaDsn\Tests\Doctrine;

use Doctrine\ORM\EntityManagerInterface;
use HaDsn\CommitUnknownException;
use HaDsn\Doctrine\EntityTransactions;
use HaDsn\Tests\Doctrine\entities\Account;
use HaDsn\Tests\Failover\Proxy;
use HaDsn\TransactionException;

/**
 * What becomes of the work of Doctrine's ORM when its connection is lost.
 */
final class EntityTransactionsTest extends DoctrineTestCase
{
    private Registry $registry;
    private int $runs = 0;

    public static function setUpBeforeClass(): void
    {
        parent::setUpBeforeClass();
        require_once '/usr/share/php/Doctrine/ORM/autoload.php';
    }

    protected function setUp(): void
    {
        parent::setUp();
        self::$server->connect()->exec('DROP TABLE IF EXISTS account; CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL); INSERT INTO account VALUES (1, 10)');
        $this->registry = new Registry(self::connection());
    }

    public function testWhatIsLostBeforeFlushIsRunAgain(): void
    {
        $result = EntityTransactions::run($this->registry, function (EntityManagerInterface $manager): string {
            $account = $manager->find(Account::class, 1);
            self::assertInstanceOf(Account::class, $account);
            ++$account->balance;
            $manager->persist(new Account(2));
            if (++$this->runs === 1) {
                $this->network->will(Proxy::CLOSE);
            }

            return "run $this->runs";
        });

        self::assertSame('run 2', $result);
        self::assertSame([1 => 11, 2 => 0], self::accounts());
        self::assertTrue($this->registry->getManager()->isOpen());
    }

    /** The manager takes it for stored then, and would write what it believes to be the difference. */
    public function testWhatIsLostAfterFlushIsDoneOnceAllTheSame(): void
    {
        EntityTransactions::run($this->registry, function (EntityManagerInterface $manager): void {
            ++$manager->find(Account::class, 1)->balance;
            $manager->persist(new Account(2));
            $manager->flush();
            if (++$this->runs === 1) {
                self::terminate($manager->getConnection());
            }
        });

        self::assertSame([2, [1 => 11, 2 => 0]], [$this->runs, self::accounts()]);
    }

    public function testEntitiesHaveToBeFetchedInTheWorkFromTheFirstRunOn(): void
    {
        $account = $this->registry->getManager()->find(Account::class, 1);
        EntityTransactions::run($this->registry, static function () use ($account): void {
            ++$account->balance;
        });

        self::assertSame([1 => 10], self::accounts());
    }

    public function testACommitInDoubtIsReported(): void
    {
        self::assertThrows(CommitUnknownException::class, fn() => EntityTransactions::run($this->registry, function (EntityManagerInterface $manager): void {
            ++$this->runs;
            $manager->persist(new Account(2));
            $this->network->will(Proxy::CLOSE_AFTER_COMMIT);
        }));

        self::assertSame([1, [1 => 10, 2 => 0]], [$this->runs, self::accounts()]);
    }

    public function testAManagerThatAnErrorHasClosedIsReplaced(): void
    {
        $persist = static fn(EntityManagerInterface $manager) => $manager->persist(new Account(1));
        self::thrown(fn() => EntityTransactions::run($this->registry, $persist));
        self::assertFalse($this->registry->getManager()->isOpen());

        EntityTransactions::run($this->registry, static fn(EntityManagerInterface $manager) => $manager->persist(new Account(2)));

        self::assertSame([1 => 10, 2 => 0], self::accounts());
    }

    /** @dataProvider failures */
    public function testWhatWasRolledBackIsNotWrittenByALaterFlush(callable $work): void
    {
        self::$server->connect()->exec('ALTER TABLE account DROP CONSTRAINT account_pkey, ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED');
        self::thrown(fn() => EntityTransactions::run($this->registry, $work));

        $manager = $this->registry->getManager();
        $account = $manager->find(Account::class, 1);
        self::assertSame(10, $account->balance);
        ++$account->balance;
        $manager->flush();

        self::assertSame([1 => 11], self::accounts());
    }

    /** @return iterable<string, array{callable(EntityManagerInterface): mixed}> */
    public static function failures(): iterable
    {
        yield 'before flush' => [static function (EntityManagerInterface $manager): void {
            $manager->find(Account::class, 1)->balance = 5;
            throw new \DomainException('no');
        }];
        yield 'after flush' => [static function (EntityManagerInterface $manager): void {
            $manager->find(Account::class, 1)->balance = 5;
            $manager->flush();
            throw new \DomainException('no');
        }];
        yield 'at COMMIT' => [static function (EntityManagerInterface $manager): void {
            $manager->find(Account::class, 1)->balance = 5;
            $manager->persist(new Account(1));
        }];
    }

    public function testARegistryThatMakesConnectionsOfItsOwnIsToldSo(): void
    {
        $registry = new Registry(self::connection(), static fn() => self::connection());

        self::assertThrows(TransactionException::class, fn() => EntityTransactions::run($registry, function (EntityManagerInterface $manager): void {
            ++$this->runs;
            $this->network->will(Proxy::CLOSE);
            // As ORM 2 does it when flush() fails at its BEGIN; ORM 3 only later.
            $manager->close();
            $manager->getConnection()->fetchOne('SELECT 1');
        }), 'connection of its own');

        self::assertSame([1, [1 => 10]], [$this->runs, self::accounts()]);
    }

    /** @return array<int, int> balance by id */
    private static function accounts(): array
    {
        return self::$server->connect()->query('SELECT id, balance FROM account ORDER BY id')->fetchAll(\PDO::FETCH_KEY_PAIR);
    }
}
