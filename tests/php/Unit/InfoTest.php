<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Outcome;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Tests\Support\WebServer;

/**
 * What phpinfo() and `php --ri hadsn` show.
 */
final class InfoTest extends UnitTestCase
{
    public function testWithoutAConfigurationItShowsTheVersion(): void
    {
        $shown = self::ri()->stdout;

        self::assertStringContainsString("hadsn => enabled\n", $shown);
        self::assertStringContainsString('Version => ' . (new \ReflectionExtension('hadsn'))->getVersion() . "\n", $shown);
        self::assertMatchesRegularExpression('/^PHP API => \d{8}$/m', $shown);
        self::assertStringContainsString("hadsn.url => no value\n", $shown);
        self::assertStringNotContainsString('Cluster', $shown);
    }

    public function testItShowsEveryClusterWithItsLeaderAndAge(): void
    {
        [$one, $two] = [$this->cluster(...Nodes::healthy()), $this->cluster(Nodes::leader('pg9', '127.0.2.9', ['port' => 6432]))];
        $ini = ['hadsn.url' => "patroni://ada:hunter2@{$one->address()}/app?ttl=5s&patroni_user=grace&patroni_password=swordfish"];
        $outcome = self::ri($ini, ['HADSN_URL_ORDERS' => "patroni://ada:hunter2@{$two->address()}/orders"]);

        foreach ([
            "Cluster default: source => patroni://{$one->address()}/app?ttl=5s",
            "Cluster default: answered by => patroni {$one->address()}",
            'Cluster default: leader => pg1 (127.0.2.1:5432)',
            'Cluster default: state => fresh',
            "Cluster orders: source => patroni://{$two->address()}/orders",
            'Cluster orders: leader => pg9 (127.0.2.9:6432)',
            "hadsn.url => patroni://{$one->address()}/app?ttl=5s",
        ] as $line) {
            self::assertStringContainsString("$line\n", $outcome->stdout);
        }
        self::assertMatchesRegularExpression('/^Cluster orders: age => \d+\.\d+ s$/m', $outcome->stdout);
        self::assertDoesNotMatchRegularExpression('/ada|hunter2|grace|swordfish/', $outcome->stdout);
        self::assertSame([0, ''], [$outcome->exitCode, $outcome->stderr]);
    }

    public function testItShowsWhatIsWrong(): void
    {
        $dead = self::deadAddress();
        $shown = self::ri(
            ['hadsn.url' => 'patroni://ada:hunter2@127.0.0.1/app?ttl=5', 'hadsn.url.billing' => ''],
            ['HADSN_URL_ORDERS' => "patroni://$dead/app?timeout=500ms", 'HADSN_URL_STOCK_FILE' => '/no/such/file'],
        )->stdout;

        self::assertStringContainsString('Cluster default: error => hadsn.url: option ttl: "5"', $shown);
        self::assertMatchesRegularExpression("/^Cluster orders: error => .*patroni $dead: connection refused$/m", $shown);
        self::assertMatchesRegularExpression('~^Cluster stock: error => HADSN_URL_STOCK_FILE: .*/no/such/file~m', $shown);
        self::assertStringContainsString("hadsn.url => (invalid)\n", $shown);
        self::assertStringNotContainsString('hunter2', $shown);
    }

    public function testOnAWebPageForeignTextIsEscaped(): void
    {
        $server = new WebServer('<?php ob_start(); phpinfo(INFO_MODULES); echo json_encode(ob_get_clean(), JSON_THROW_ON_ERROR);', [
            'hadsn.url' => self::url($this->cluster(Nodes::leader('<script>alert(1)</script>'))),
        ]);

        $page = $server->get([]);
        $server->stop();

        self::assertStringContainsString('&lt;script&gt;alert(1)&lt;/script&gt; (127.0.2.1:5432)', $page);
        self::assertStringNotContainsString('<script>alert', $page);
    }

    /**
     * @param array<string, string> $ini
     * @param array<string, string> $env
     */
    private static function ri(array $ini = [], array $env = []): Outcome
    {
        return (new Process([...Php::command($ini), '--ri', 'hadsn'], $env))->wait(30.0);
    }
}
