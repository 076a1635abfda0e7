<?php

declare(strict_types=1);

namespace HaDsn\Tests\Sources;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Nodes;

/**
 * patroni+https://: REST APIs whose certificates a private authority has signed, and those that must not be believed.
 */
final class PatroniTlsTest extends SourcesTestCase
{
    public function testWithThePrivateAuthorityBothRolesAreFound(): void
    {
        self::discover(self::BY_PATRONI);

        self::assertBothRolesAreFound();
        self::assertMatchesRegularExpression('/^patroni 127\.0\.0\.1[123]:8008$/', self::statusOf()['answered_by']);
        self::assertSame('https://' . Lab::address(Lab::leader()) . ':8008/patroni', HaDsn::topology()->leader?->apiUrl);
    }

    /**
     * @dataProvider badCertificates
     */
    public function testABadCertificateIsRefusedAndTheMessageSaysWhatIsWrongWithIt(
        string $certificate,
        string $host,
        string $authority,
        string ...$reasons,
    ): void {
        $patroni = $this->https($certificate);
        self::discover("patroni+https://{$patroni->address($host)}/app", $authority . '&patroni_user=u&patroni_password=hunter2');

        $thrown = self::assertThrows(
            HaDsn\DiscoveryException::class,
            static fn() => HaDsn::writer(),
            "patroni {$patroni->address($host)}: TLS: the certificate ",
            ...$reasons,
        );
        self::assertStringNotContainsString('hunter2', $thrown->getMessage());
        self::assertSame([], $patroni->requests(), 'it learns neither what is asked nor the password');
    }

    /** @return iterable<string, list<string>> */
    public static function badCertificates(): iterable
    {
        $by = static fn(string $authority): string => 'patroni_cafile=' . rawurlencode(Lab::certificate($authority));
        foreach (['127.0.0.1', 'localhost'] as $host) {
            yield "$host: of another authority" => ['foreign.pem', $host, $by('ca.pem'), 'an issuer that patroni_cafile'];
            yield "$host: expired" => ['expired.pem', $host, $by('ca.pem'), 'has expired (not after 20'];
            yield "$host: for another name" => [
                'wrong-name.pem', $host, $by('ca.pem'), 'is for other names ("elsewhere.' . Lab::ZONE . '")', "not for $host",
            ];
            yield "$host: of another node" => ['pg1.pem', $host, $by('ca.pem'), '127.0.0.11', "not for $host"];
        }
    }

    public function testTheNodesAreNotBelievedByAnotherAuthorityOrThoseOfTheSystem(): void
    {
        self::discover(self::BY_PATRONI, 'patroni_cafile=' . rawurlencode(Lab::certificate('other-ca.pem')));
        $reasons = array_map(
            static fn(string $node): string => "patroni $node:8008: TLS: the certificate is signed by an issuer",
            explode(',', self::NODES),
        );
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), ...$reasons);

        HaDsn::configure(self::BY_PATRONI);
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), 'TLS: the certificate ', 'issuer');
    }

    /**
     * @dataProvider goodNames
     */
    public function testTheNameOfTheSourceHasToBeInTheCertificate(string $host): void
    {
        $patroni = $this->https('foreign.pem');
        self::discover("patroni+https://{$patroni->address($host)}/app", self::itsAuthority());

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        self::assertSame("patroni {$patroni->address($host)}", self::statusOf()['answered_by']);
    }

    /** @return iterable<string, array{string}> */
    public static function goodNames(): iterable
    {
        yield 'an address' => ['127.0.0.1'];
        yield 'a name' => ['localhost'];
    }

    public function testAnEndpointWithABadCertificateDoesNotSpoilTheOthers(): void
    {
        $impostor = $this->https('foreign.pem');
        self::discover("patroni+https://{$impostor->address()}," . self::NODES . '/app');

        self::assertBothRolesAreFound();
        self::assertSame([], $impostor->requests());
    }

    public function testBasicAuthenticationGoesOverTls(): void
    {
        $patroni = $this->https('foreign.pem');
        self::discover("patroni+https://{$patroni->address()}/app", self::itsAuthority() . '&patroni_user=ada&patroni_password=p%40ss');
        HaDsn::writer();

        self::assertSame('Basic ' . base64_encode('ada:p@ss'), $patroni->requests()[0]['headers']['authorization']);
    }

    public function testWrongCredentialsAreSaidToBeWrong(): void
    {
        $patroni = $this->https('foreign.pem', Answer::status(401, ['WWW-Authenticate' => 'Basic realm="x"']));
        $url = "patroni+https://{$patroni->address()}/app";

        self::discover($url, self::itsAuthority());
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), 'answered 401', 'patroni_password are needed');
        self::discover($url, self::itsAuthority() . '&patroni_user=ada&patroni_password=hunter2');
        $thrown = self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), 'answered 401', 'not accepted');
        self::assertStringNotContainsString('hunter2', $thrown->getMessage());
    }

    public function testTheWrongSchemeIsNamed(): void
    {
        HaDsn::configure(Lab::URL);
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => self::writerNow(), 'if it speaks TLS, write patroni+https://');

        $plain = $this->cluster(...Nodes::healthy());
        self::discover("patroni+https://{$plain->address()}/app", 'timeout=500ms');
        self::assertThrows(HaDsn\DiscoveryException::class, static fn() => HaDsn::writer(), 'is it patroni:// instead');
    }

    public function testTheCertificateOfPostgresqlIsCheckedByTheSourcesWord(): void
    {
        self::discover(self::BY_PATRONI, 'sslrootcert=' . rawurlencode(Lab::certificate('other-ca.pem')));

        $seconds = self::seconds(static function (): void {
            $thrown = self::assertThrows(\PDOException::class, static fn() => HaDsn::connect('app', 'app'), 'certificate');
            self::assertNotInstanceOf(HaDsn\Exception::class, $thrown);
        });
        self::assertLessThan(self::SOON, $seconds, 'waiting would not help');
    }

    /** A Patroni that shows one of the lab's certificates. */
    private function https(string $certificate, ?Answer $answer = null): FakePatroni
    {
        return $this->patroni($answer ?? Answer::members(...Nodes::healthy()), Lab::certificate($certificate));
    }

    /** The option that names the authority of `foreign.pem`: that certificate is for this machine, and good. */
    private static function itsAuthority(): string
    {
        return 'patroni_cafile=' . rawurlencode(Lab::certificate('other-ca.pem'));
    }
}
