<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Lab;

/**
 * REST APIs and PostgreSQL servers that let in only those who show a certificate.
 */
final class MutualTlsTest extends SourcesTestCase
{
    protected const OPTIONS = ['--tls=mutual'];

    private static Directory $keys;

    public static function setUpBeforeClass(): void
    {
        parent::setUpBeforeClass();
        self::$keys = new Directory();
        foreach (['client', 'other-client'] as $name) {
            // libpq refuses a key that others may read.
            chmod(self::$keys->write("$name.key", (string) file_get_contents(Lab::certificate("$name.key"))), 0600);
        }
    }

    /**
     * @dataProvider sourceUrls
     */
    public function testWithAClientCertificateBothRolesAreFound(string $url): void
    {
        $options = self::postgresqlCertificate('client');
        self::discover($url, $url === self::BY_SQL ? $options : "$options&" . self::patroniCertificate('client'));

        self::assertBothRolesAreFound();
    }

    /** @return iterable<string, array{string}> */
    public static function sourceUrls(): iterable
    {
        yield 'Patroni' => [self::BY_PATRONI];
        yield 'SQL' => [self::BY_SQL];
    }

    /**
     * @dataProvider badClients
     */
    public function testWithoutAGoodOneEachServerIsNamedWithItsReason(string $url, ?string $certificate, string $server, string $reason): void
    {
        self::discover($url, match (true) {
            $certificate === null => '',
            $url === self::BY_SQL => self::postgresqlCertificate($certificate),
            default => self::patroniCertificate($certificate),
        });

        $reasons = array_map(static fn(string $node): string => sprintf("$server: $reason", $node), explode(',', self::NODES));
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), ...$reasons);
    }

    /** @return iterable<string, array{string, string|null, string, string}> */
    public static function badClients(): iterable
    {
        $unknown = 'TLS: the server does not know the issuer of our client certificate';
        yield 'Patroni: none' => [self::BY_PATRONI, null, 'patroni %s:8008', 'TLS: the server wants a client certificate'];
        yield 'Patroni: of another authority' => [self::BY_PATRONI, 'other-client', 'patroni %s:8008', $unknown];
        yield 'SQL: none' => [self::BY_SQL, null, 'postgresql %s:5432', 'does not let "app" in with TLS (28000)'];
        yield 'SQL: of another authority' => [self::BY_SQL, 'other-client', 'postgresql %s:5432', $unknown];
    }

    public function testAKeyThatOthersMayReadIsRefusedAsLibpqDoes(): void
    {
        $certificate = 'sslcert=' . rawurlencode(Lab::certificate('client.pem'));
        self::discover(self::BY_SQL, "$certificate&sslkey=" . rawurlencode(Lab::certificate('client.key')));

        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), 'client.key: others may read this key');
    }

    /** The options that name a certificate and its key for the REST API. */
    private static function patroniCertificate(string $name): string
    {
        return 'patroni_cert=' . rawurlencode(Lab::certificate("$name.pem")) . '&patroni_key=' . rawurlencode(Lab::certificate("$name.key"));
    }

    /** Those for PostgreSQL. */
    private static function postgresqlCertificate(string $name): string
    {
        $key = self::$keys->path . "/$name.key";

        return 'sslcert=' . rawurlencode(Lab::certificate("$name.pem")) . '&sslkey=' . rawurlencode($key);
    }
}
