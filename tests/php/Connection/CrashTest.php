<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\Tests\Support\Lab;
use PDO;

/**
 * The leader's machine dies in the middle of a transaction, and reads go on meanwhile.
 */
final class CrashTest extends ConnectionTestCase
{
    protected const SYNCHRONOUS = true;

    public function testInTheMiddleOfATransaction(): void
    {
        $old = Lab::leader();
        $db = self::connection();
        $reports = self::connection();
        $servers = $seconds = [];

        for ($number = 1; $number <= 40; ++$number) {
            $db->transaction(static function (PDO $pdo) use ($db, $reports, $number, $old, &$servers, &$seconds): void {
                $servers[$number][] = self::server($pdo);
                $pdo->exec(self::INSERT . "($number)");
                if ($number === 20 && count($servers[20]) === 1) {
                    Lab::run('kill', $old);
                    for ($i = 0; $i < 20; ++$i) {
                        $seconds[] = self::seconds(static fn() => self::assertTrue($reports->run(static fn(PDO $pdo) => Lab::ask($pdo, 'SELECT true'), 'reader')));
                    }
                }
                $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(' . (100 + $number) . ')'));
            });
        }

        $new = Lab::address(Lab::leader());
        self::assertSame([Lab::address($old), $new], $servers[20]);
        self::assertSame([$new], $servers[40]);
        self::assertSame([...range(1, 40), ...range(101, 140)], self::entries());
        self::assertLessThan(3.0, max($seconds), 'the longest read while nobody led, in seconds');
        Lab::run('start', $old, '--wait');
    }
}
