<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\CommitUnknownException;
use HaDsn\Tests\Support\Lab;
use PDO;

/**
 * The leadership is handed over in good order, while work is under way.
 */
final class SwitchoverTest extends ConnectionTestCase
{
    public function testInTheMiddleOfATransaction(): void
    {
        $old = Lab::leader();
        $db = self::connection();
        $idle = self::connection();
        self::assertSame(Lab::address($old), self::server($idle->writer()));
        $before = $idle->position();
        $servers = [];

        $db->transaction(static function (PDO $pdo) use (&$servers): void {
            $pdo->exec(self::INSERT . '(1)');
            $servers[] = self::server($pdo);
            if (count($servers) === 1) {
                Lab::run('switchover');
            }
            $pdo->exec(self::INSERT . '(2)');
        });

        $new = Lab::address(Lab::leader());
        self::assertSame([Lab::address($old), $new], $servers);
        // A worker that had nothing to do meanwhile.
        self::assertSame($new, $idle->run(static fn(PDO $pdo) => Lab::ask($pdo, self::INSERT . '(3) RETURNING host(inet_server_addr())')));
        self::assertSame([1, 2, 3], self::entries());
        foreach ([$db->position(), $idle->position()] as $position) {
            self::assertSame(3, Lab::ask($db->reader($position), 'SELECT count(*) FROM entry'));
        }
        self::assertTrue(Lab::ask($db->reader($before), 'SELECT true'), 'a position of the timeline before');
        Lab::run('start', $old, '--wait');
    }

    public function testInTheMiddleOfWorkOutsideOfATransaction(): void
    {
        $old = Lab::leader();
        $db = self::connection();
        $runs = 0;
        $work = static function (PDO $pdo) use (&$runs): void {
            ++$runs;
            $pdo->exec(self::INSERT . '(1)');
            Lab::run('switchover');
            $pdo->exec(self::INSERT . '(2)');
        };

        self::assertLost(self::thrown(static fn() => $db->run($work)));
        self::assertSame(1, $runs, 'the first statement was carried out, and would be carried out twice');
        self::assertSame(1, $db->run(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(3)')));
        self::assertSame([1, 3], self::entries());
        Lab::run('start', $old, '--wait');
    }

    public function testWhileManyTransactionsAndStatementsAreUnderWay(): void
    {
        $old = Lab::leader();
        $db = self::connection();
        $acknowledged = $unknown = $servers = [];
        $number = 0;
        $switchover = null;
        for ($rest = 50; $rest > 0;) {
            $number += 3;
            try {
                $servers[] = $db->transaction(static function (PDO $pdo) use ($db, $number): string {
                    $pdo->exec(self::INSERT . "($number)");
                    $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(' . ($number + 1) . ')'));

                    return self::server($pdo);
                });
                array_push($acknowledged, $number, $number + 1);
            } catch (CommitUnknownException) {
                array_push($unknown, $number, $number + 1);
            }
            try {
                $db->run(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(' . ($number + 2) . ')'));
                $acknowledged[] = $number + 2;
            } catch (\PDOException $e) {
                self::assertLost($e);
                $unknown[] = $number + 2;
            }
            self::assertTrue($db->run(static fn(PDO $pdo) => Lab::ask($pdo, 'SELECT true'), 'reader'));
            if (count($servers) === 50) {
                $switchover = Lab::start('switchover');
            }
            $rest -= (int) (count($servers) > 50 && end($servers) !== Lab::address($old));
        }
        self::assertSame(0, $switchover->wait(60.0)->exitCode);

        self::assertSame([Lab::address($old), Lab::address(Lab::leader())], array_values(array_unique($servers)));
        self::assertLessThanOrEqual(3, count($unknown), 'at most one piece of work was in doubt');
        $entries = self::entries();
        self::assertSame([], array_diff($acknowledged, $entries), 'acknowledged and lost');
        self::assertSame([], array_diff($entries, $acknowledged, $unknown), 'written and not told');
        Lab::run('start', $old, '--wait');
    }
}
