<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;

/**
 * The writer moves only to a server that is a primary already: the leader's lock alone does not make it one.
 */
final class ConfirmationTest extends SourcesTestCase
{
    public function testTheSystemIdentifierIsTheServersOwn(): void
    {
        foreach ([self::BY_PATRONI, self::BY_PATRONI_SRV, self::BY_SQL] as $url) {
            self::discover($url);
            $pdo = Lab::connect(HaDsn::writer(), 'postgres', 'postgres');

            self::assertSame(
                (string) Lab::ask($pdo, 'SELECT system_identifier FROM pg_control_system()'),
                HaDsn::topology()->systemIdentifier,
                $url,
            );
        }
    }

    /**
     * @dataProvider sourceUrls
     */
    public function testInASwitchoverTheNewWriterIsAPrimaryFromTheFirstMomentOn(string $url): void
    {
        self::discover($url, 'failover_timeout=0s');
        $old = self::addressOf(HaDsn::writer());
        $switchover = Lab::start('switchover');
        $named = $yes = $no = [];
        $end = microtime(true) + 30.0;
        while (microtime(true) < $end && ($yes[$new ?? ''] ?? 0) < 20) {
            HaDsn::invalidate();
            try {
                $dsn = HaDsn::writer();
            } catch (HaDsn\NoLeaderException) {
                continue;
            }
            $named[$address = self::addressOf($dsn)] = true;
            if ($address !== $old) {
                $new = $address;
            }
            if (self::isPrimary($dsn)) {
                $yes[$address] = ($yes[$address] ?? 0) + 1;
            } elseif ($address !== $old) {
                $no[] = $address;
            }
        }
        $switchover->wait(60.0);

        self::assertSame([], $no, 'the new leader was named before it was one');
        self::assertSame([$old, Lab::address(Lab::leader())], array_keys($named));
        self::assertGreaterThanOrEqual(20, $yes[Lab::address(Lab::leader())]);
    }

    /** @return iterable<string, array{string}> */
    public static function sourceUrls(): iterable
    {
        yield 'Patroni' => [self::BY_PATRONI];
        yield 'SQL' => [self::BY_SQL];
    }

    /** Whether a DSN leads to a server that takes writes now. */
    private static function isPrimary(string $dsn): bool
    {
        try {
            // Without libpq's own check.
            $pdo = Lab::connect(strtr($dsn, ['target_session_attrs=read-write;' => '']));

            return Lab::ask($pdo, "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'");
        } catch (\PDOException) {
            return false;
        }
    }
}
