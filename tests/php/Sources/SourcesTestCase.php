<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\LabTestCase;
use HaDsn\Tests\Support\Libpq;

/**
 * A test against the cluster with all that it may be published by: REST APIs and PostgreSQL over TLS, DNS, a standby cluster.
 */
abstract class SourcesTestCase extends LabTestCase
{
    protected const OPTIONS = ['--tls', '--dns', '--dr'];

    /** The nodes of the primary site. */
    protected const NODES = '127.0.0.11,127.0.0.12,127.0.0.13';
    protected const DR = '127.0.0.14';

    protected const BY_PATRONI = 'patroni+https://' . self::NODES . '/app';
    protected const BY_PATRONI_SRV = 'patroni+https+srv://' . Lab::ZONE . '/app';
    protected const BY_SQL = 'postgresql://app:app@' . self::NODES . '/app';
    protected const BY_SQL_SRV = 'postgresql+srv://app:app@' . Lab::ZONE . '/app';

    private static int $number = 0;

    protected function setUp(): void {}

    /**
     * Makes the source URLs the default cluster, and one that nothing is known of yet: what a process remembers of a cluster
     * goes by its source string, which is a new one each time.
     *
     * @param string $options of the first URL, in addition to those that TLS and DNS need
     */
    protected static function discover(string $urls, string $options = ''): void
    {
        HaDsn::configure(self::sources($urls, $options));
    }

    /** A source string for {@see HaDsn::configure()}. */
    protected static function sources(string $urls, string $options = ''): string
    {
        [$first, $rest] = explode(' ', $urls, 2) + ['', ''];
        $authority = rawurlencode(Lab::certificate('ca.pem'));
        $all = ['sslmode' => 'verify-full', 'sslrootcert' => $authority, 'application_name' => 'hadsn_test_' . ++self::$number];
        if (str_contains($urls, 'patroni+https')) {
            $all['patroni_cafile'] = $authority;
        }
        if (str_contains($urls, '+srv:')) {
            $all['nameserver'] = Lab::NAME_SERVER;
        }
        foreach ($options === '' ? [] : explode('&', $options) as $option) {
            [$name, $value] = explode('=', $option, 2);
            $all[$name] = $value;
        }
        $pairs = array_map(static fn(string $name, string $value): string => "$name=$value", array_keys($all), $all);

        return trim("$first?" . implode('&', $pairs) . " $rest");
    }

    /** Makes the next call look again. */
    protected static function writerNow(): string
    {
        HaDsn::invalidate();

        return HaDsn::writer();
    }

    /** What hadsn says of the default cluster. */
    protected static function statusOf(): array
    {
        return HaDsn::status()['clusters']['default'];
    }

    /** The address that a DSN leads to: of a host that is given by name the one that was looked up. */
    protected static function addressOf(string $dsn): string
    {
        $found = Libpq::parsePdo($dsn);

        return $found['hostaddr'] ?? $found['host'];
    }

    /** Whether a connection's server is a replica, by its own word. */
    protected static function isReplica(\PDO $pdo): bool
    {
        return Lab::ask($pdo, 'SELECT pg_is_in_recovery()');
    }

    /** Asserts that the writer is the leader and takes writes, and that readers are replicas. */
    protected static function assertBothRolesAreFound(): void
    {
        $leader = Lab::address(Lab::leader());
        $writer = Lab::connect(HaDsn::writer());
        $writer->exec('CREATE TEMPORARY TABLE proof ()');
        self::assertSame([$leader, $leader], [self::addressOf(HaDsn::writer()), self::server($writer)]);
        $readers = [];
        for ($i = 0; $i < 4; ++$i) {
            $reader = Lab::connect(HaDsn::reader());
            self::assertTrue(self::isReplica($reader));
            $readers[self::server($reader)] = true;
        }
        self::assertEqualsCanonicalizing(array_map(Lab::address(...), Lab::replicas()), array_keys($readers));
        foreach ([$writer, $reader] as $pdo) {
            self::assertTrue(Lab::ask($pdo, 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'));
        }
    }
}
