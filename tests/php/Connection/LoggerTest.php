<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use HaDsn\CommitUnknownException;
use HaDsn\Tests\Support\Lab;
use PDO;

/**
 * What a logger is told.
 */
final class LoggerTest extends ConnectionTestCase
{
    public function testNothingWhenNothingHappens(): void
    {
        $journal = new Journal();
        $db = self::connection($journal);
        $db->run(static fn() => null, 'reader');
        $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)'));
        self::thrown(static fn() => $db->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)')));

        self::assertSame([], $journal->lines());
    }

    public function testALossAndARepeat(): void
    {
        $journal = new Journal();
        $runs = 0;
        self::connection($journal)->transaction(static function (PDO $pdo) use (&$runs): void {
            if (++$runs === 1) {
                $pdo->exec(self::END_OF_THIS_CONNECTION);
            }
        });

        self::assertSame([
            'notice: hadsn: cluster default: the connection to the writer is given up',
            'warning: hadsn: cluster default: a failover ended work of the writer, running it again',
            'notice: hadsn: cluster default: connected to a writer again',
        ], $journal->lines());
        self::assertSame(['cluster' => 'default', 'role' => 'writer', 'attempt' => 2], array_diff_key($journal->entries[1]['context'], ['exception' => true]));
        self::assertLost($journal->entries[1]['context']['exception']);
    }

    public function testAConflict(): void
    {
        $journal = new Journal();
        $runs = 0;
        self::connection($journal)->transaction(static function (PDO $pdo) use (&$runs): void {
            if (++$runs <= 2) {
                $pdo->exec("DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '40001'; END $$");
            }
        });

        self::assertSame(array_fill(0, 2, 'warning: hadsn: cluster default: a conflict ended a transaction, running it again'), $journal->lines());
        self::assertSame([2, 3], array_column(array_column($journal->entries, 'context'), 'attempt'));
    }

    public function testWorkInDoubt(): void
    {
        $journal = new Journal();
        $db = self::connection($journal);
        self::thrown(static fn() => $db->run(static fn(PDO $pdo) => $pdo->exec(self::END_OF_THIS_CONNECTION)));

        self::assertSame([
            'notice: hadsn: cluster default: the connection to the writer is given up',
            'error: hadsn: cluster default: the connection broke while work was under way: it may have been done',
        ], $journal->lines());
    }

    public function testACommitInDoubt(): void
    {
        $network = self::inFrontOfTheLeader();
        $journal = new Journal();
        $network->before('COMMIT')->cut();
        self::assertThrows(CommitUnknownException::class, static fn() => self::connection($journal)->transaction(static fn(PDO $pdo) => $pdo->exec(self::INSERT . '(1)')));
        $network->stop();

        self::assertSame([
            'notice: hadsn: cluster default: the connection to the writer is given up',
            'error: hadsn: cluster default: no answer to COMMIT: the transaction may have been committed',
        ], $journal->lines());
    }

    public function testNoPassword(): void
    {
        \HaDsn::configure(strtr(Lab::URL, ['//' => '//app:app@']));
        $admin = self::elsewhere('postgres');
        $admin->exec("DROP ROLE IF EXISTS hadsn_logged; CREATE ROLE hadsn_logged LOGIN PASSWORD 'hunter2'");
        try {
            $journal = new Journal();
            $db = new \HaDsn\Connection('hadsn_logged', 'hunter2', null, 'default', $journal);
            self::thrown(static fn() => $db->run(static fn(PDO $pdo) => $pdo->exec("DO $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END $$")));
            $db->writer();
            foreach ($journal->entries as $entry) {
                self::assertStringNotContainsString('hunter2', $entry['message'] . print_r(array_map(static fn(mixed $value): mixed => $value instanceof \Throwable ? (string) $value : $value, $entry['context']), true));
            }
            self::assertCount(3, $journal->entries);
        } finally {
            $admin->exec('DROP ROLE hadsn_logged');
        }
    }
}
