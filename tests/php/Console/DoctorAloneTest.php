<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Outcome;

/**
 * `hadsn doctor` where the extension is not loaded: it says so, and finds what can be found without it.
 */
final class DoctorAloneTest extends ConsoleTestCase
{
    public function testTheClusterIsCheckedAllTheSame(): void
    {
        $dead = self::deadAddress();
        $patroni = $this->cluster(
            $this->server()->asMember(Nodes::leader()),
            $this->server()->asMember(Nodes::replica('pg2', more: ['lag' => 5 << 20])),
            Nodes::replica('pg3', '127.0.0.1', ['port' => (int) explode(':', $dead)[1]]),
            Nodes::replica('pg4', more: ['host' => null]),
        );

        $outcome = self::alone(self::url([$patroni, $dead], 'max_lag=1MiB'));

        self::assertSame(2, $outcome->exitCode);
        self::assertFound($outcome, 'configuration.extension', 'error', 'not loaded in this PHP');
        self::assertFound($outcome, 'configuration.source', 'ok');
        self::assertFound($outcome, 'endpoint.answers', 'ok', '', $patroni->address());
        self::assertFound($outcome, 'endpoint.unreachable', 'warning', 'connection refused', $dead);
        self::assertFound($outcome, 'cluster.leader', 'ok', 'pg1, by Patroni\'s word');
        self::assertFound($outcome, 'member.reachable', 'ok', 'leader, running', 'pg1');
        self::assertFound($outcome, 'member.lag', 'warning', 'is 5.0 MiB behind', 'pg2');
        self::assertFound($outcome, 'member.unreachable', 'warning', 'connection refused', 'pg3');
        self::assertFound($outcome, 'member.address', 'warning', 'announces no address', 'pg4');
        self::assertFound($outcome, 'shm.usable', 'ok');
        self::assertSame([], self::find($outcome, 'cluster.discovery'));
    }

    public function testNobodyLeadsByPatronisWord(): void
    {
        self::assertFound(self::alone(self::url($this->cluster(Nodes::replica()))), 'cluster.leader', 'error', 'nobody leads, by Patroni\'s word');
    }

    public function testTheFirstSourceWithALeaderCountsAsForTheExtension(): void
    {
        $standby = $this->cluster(Nodes::replica('a1'));
        $patroni = $this->cluster(...$this->reachable());

        $outcome = self::alone(self::url($standby) . " patroni://{$patroni->address()}");

        self::assertFound($outcome, 'cluster.leader', 'ok', 'pg1, by Patroni\'s word');
        self::assertSame([], self::find($outcome, 'member.address'), 'of the other cluster nobody is missing');
    }

    public function testAnOptionThatNobodyKnowsIsNotShownSinceItMayBeAPassword(): void
    {
        $outcome = self::alone(self::url($this->cluster(...$this->reachable()), 'patroni_pasword=hunter2&poll=1s'));

        self::assertStringNotContainsString('hunter2', $outcome->stdout);
        self::assertFound($outcome, 'configuration.source', 'ok', 'poll=1s');
    }

    public function testDatabaseHostsThatAreListedAreKnockedAt(): void
    {
        [$server, $dead] = [$this->server(), self::deadAddress()];

        $outcome = self::alone("postgresql://127.0.0.1:$server->port,$dead/app");

        self::assertFound($outcome, 'member.reachable', 'ok', 'answers in', "127.0.0.1:$server->port");
        self::assertFound($outcome, 'member.unreachable', 'warning', 'connection refused', $dead);
        self::assertSame([], [...self::find($outcome, 'cluster.leader'), ...self::find($outcome, 'cluster.replicas')], 'nobody has said what they are');
    }

    public function testWithTheExtensionListedHostsAreKnockedAtWhenItFindsNothing(): void
    {
        [$server, $dead] = [$this->server(), self::deadAddress()];

        $outcome = self::hadsn(['doctor', '--json'], ['HADSN_URL' => "postgresql://app@127.0.0.1:$server->port,$dead/app"]);

        self::assertFound($outcome, 'cluster.discovery', 'error');
        self::assertFound($outcome, 'member.reachable', 'ok', 'answers in', "127.0.0.1:$server->port");
        self::assertFound($outcome, 'member.unreachable', 'warning', 'connection refused', $dead);
    }

    public function testCertificatesAreJudgedByPhp(): void
    {
        $authority = new Certificates($this->directory->path);
        $good = $this->patroni(Answer::members(...Nodes::healthy()), $authority->issue('good', 'IP:127.0.0.1', 200));
        $wrong = $this->patroni(Answer::members(...Nodes::healthy()), $authority->issue('wrong', 'IP:127.0.0.9', 200));

        $outcome = self::alone("patroni+https://{$good->address()},{$wrong->address()}/app?patroni_cafile={$authority->file()}");

        self::assertFound($outcome, 'tls.certificate', 'ok', 'verified, good until', $good->address());
        self::assertFound($outcome, 'tls.endpoint', 'error', 'did not match', $wrong->address());
    }

    /**
     * @dataProvider malformed
     */
    public function testAMalformedSourceIsNotShownSinceItMayHoldAPassword(string $source): void
    {
        $outcome = self::alone($source);

        self::assertSame(2, $outcome->exitCode);
        self::assertFound($outcome, 'configuration.source', 'error', ': expected a URL');
        self::assertStringNotContainsString('hunter', $outcome->stdout . $outcome->stderr);
        self::assertStringNotContainsString('1234', $outcome->stdout . $outcome->stderr);
    }

    /** @return iterable<string, array{string}> */
    public static function malformed(): iterable
    {
        yield 'a raw / in the password' => ['patroni://app:1234/hunter@10.0.0.1/app'];
        yield 'a raw ?' => ['patroni://app:1234?hunter=2@10.0.0.1/app'];
        yield 'a raw @' => ['patroni://app:hunter@2@10.0.0.1/app'];
        yield 'a raw #' => ['patroni://app:hunter#2@10.0.0.1/app'];
        yield 'a raw space' => ['patroni://app:1234 hunter@10.0.0.1/app'];
        yield 'another scheme' => ['hunter://10.0.0.1/app'];
        yield 'a host with a port that is none' => ['patroni://app:hunter,10.0.0.1/app'];
    }

    public function testWhatIsConfiguredNowhereIsSaid(): void
    {
        $outcome = self::hadsnWithoutExtension(['doctor', '--json', '--cluster=orders']);

        self::assertFound($outcome, 'configuration.source', 'error', 'cluster "orders": no source is configured: give --source=URL, set the environment variable HADSN_URL_ORDERS, or hadsn.url.orders in php.ini');
    }

    private static function alone(string $url): Outcome
    {
        return self::hadsnWithoutExtension(['doctor', '--json'], ['HADSN_URL' => $url]);
    }
}
