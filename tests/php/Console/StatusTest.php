<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;

/**
 * `hadsn status` and `hadsn watch`.
 */
final class StatusTest extends ConsoleTestCase
{
    public function testTheTableShowsEveryMember(): void
    {
        [$leader, $replica] = $this->reachable();
        $dead = Nodes::replica('pg3', '127.0.0.1', ['port' => (int) explode(':', self::deadAddress())[1], 'lag' => 5 << 20]);
        $patroni = $this->cluster($leader, $replica, $dead);

        $outcome = self::hadsn(['status'], ['HADSN_URL' => self::url($patroni)]);

        self::assertSame([0, ''], [$outcome->exitCode, $outcome->stderr]);
        [$head, , $titles, $first, $second, $third] = explode("\n", $outcome->stdout);
        self::assertMatchesRegularExpression("~^cluster default, leader pg1, seen \S+ \S+ ago by patroni {$patroni->address()}$~", $head);
        self::assertMatchesRegularExpression('/^MEMBER +ROLE +STATE +LAG +TL +ADDRESS +REACHABLE$/', $titles);
        self::assertMatchesRegularExpression("/^pg1     leader   running          -   3  127\.0\.0\.1:{$leader['port']} +yes, /", $first);
        self::assertMatchesRegularExpression("/^pg2     replica  streaming      0 B   3  127\.0\.0\.1:{$replica['port']} +yes, /", $second);
        self::assertMatchesRegularExpression("/^pg3     replica  streaming  5\.0 MiB   3  127\.0\.0\.1:{$dead['port']} +no: connection refused$/", $third);
        // Aligned: the columns begin where their titles do.
        self::assertSame(strpos($titles, 'ADDRESS'), strpos($third, '127.0.0.1:'));
        self::assertSame(strpos($titles, 'REACHABLE'), strpos($third, 'no:'));
    }

    public function testJsonHasEverythingInItsOwnType(): void
    {
        [$leader, $replica] = $this->reachable();
        $patroni = $this->cluster($leader, ['lag' => 'unknown', 'tags' => ['nofailover' => true]] + $replica);

        $json = self::hadsn(['status', '--json'], ['HADSN_URL' => self::url($patroni)])->json();

        self::assertSame(['cluster', 'leader', 'timeline', 'source', 'answered_by', 'age', 'error', 'members'], array_keys($json));
        self::assertSame(['pg1', 3, null], [$json['leader'], $json['timeline'], $json['error']]);
        self::assertSame([self::url($patroni), "patroni {$patroni->address()}"], [$json['source'], $json['answered_by']]);
        self::assertIsFloat($json['age']);
        self::assertSame([
            'name' => 'pg2', 'role' => 'replica', 'state' => 'streaming', 'lag' => null, 'timeline' => 3, 'host' => '127.0.0.1',
            'port' => $replica['port'], 'announced' => ['host' => '127.0.0.1', 'port' => $replica['port']], 'reachable' => true,
            'reason' => null, 'tags' => ['nofailover' => true],
        ], $json['members'][1]);
    }

    public function testTheAddressIsTheOneThatAnApplicationConnectsTo(): void
    {
        $server = $this->server();
        $patroni = $this->cluster(Nodes::leader(), Nodes::replica());

        $url = self::url($patroni, "map=127.0.2.1=localhost:$server->port&port=1");
        $json = self::hadsn(['status', '--json'], ['HADSN_URL' => $url])->json();

        self::assertSame(['localhost', $server->port, true], [$json['members'][0]['host'], $json['members'][0]['port'], $json['members'][0]['reachable']]);
        self::assertSame(['127.0.2.2', 1, false], [$json['members'][1]['host'], $json['members'][1]['port'], $json['members'][1]['reachable']]);
    }

    public function testAServerThatTakesConnectionsAndIsFrozenIsNotReachable(): void
    {
        $frozen = stream_socket_server('tcp://127.0.0.1:0');
        $port = (int) explode(':', (string) stream_socket_get_name($frozen, false))[1];
        $patroni = $this->cluster(Nodes::leader('pg1', '127.0.0.1', ['port' => $port]));

        $seconds = self::seconds(static function () use ($patroni, &$outcome): void {
            $outcome = self::hadsn(['status'], ['HADSN_URL' => self::url($patroni)]);
        });

        self::assertStringContainsString('no: connected, and no answer within 1 s', $outcome->stdout);
        self::assertLessThan(self::SOON, $seconds);
    }

    public function testForeignTextCannotReachTheTerminal(): void
    {
        $patroni = $this->cluster(Nodes::leader("pg\e[2J\u{202E}\u{9B}1"), Nodes::replica("b\nb", more: ['state' => "str\reaming"]));

        $outcome = self::hadsn(['status'], ['HADSN_URL' => self::url($patroni)]);

        self::assertDoesNotMatchRegularExpression('/[\x00-\x09\x0B-\x1F\x7F]|\x{202E}|\x{9B}/u', $outcome->stdout);
        self::assertStringContainsString('pg\x1B[2J\u{202E}\u{9B}1', $outcome->stdout);
        self::assertStringContainsString('b\nb', $outcome->stdout);
        self::assertStringContainsString('str\reaming', $outcome->stdout);
        $doctor = self::hadsn(['doctor'], ['HADSN_URL' => self::url($patroni)]);
        self::assertDoesNotMatchRegularExpression('/[\x00-\x09\x0B-\x1F\x7F]|\x{202E}|\x{9B}/u', $doctor->stdout);
        // JSON holds it all the same, and is harmless itself.
        $json = self::hadsn(['status', '--json'], ['HADSN_URL' => self::url($this->cluster(Nodes::leader("pg\e[2J\u{202E}\u{9B}1\x7F")))]);
        self::assertMatchesRegularExpression('/^[\n\x20-\x7E]+$/D', $json->stdout);
        self::assertSame("pg\e[2J\u{202E}\u{9B}1\x7F", $json->json()['leader']);
    }

    public function testNamesOfTheWorldAreShownAndAligned(): void
    {
        $patroni = $this->cluster(Nodes::leader('köln-東京'), Nodes::replica("pg2\u{AD}", more: ['state' => "e\u{200D}é"]));
        $env = ['HADSN_URL' => self::url($patroni)];

        $lines = explode("\n", self::hadsn(['status'], $env)->stdout);
        $ascii = explode("\n", self::hadsn(['status'], $env + ['LC_ALL' => 'POSIX'])->stdout);

        self::assertStringStartsWith('köln-東京  leader', $lines[3]);
        self::assertStringStartsWith('pg2\u{AD}  replica  e\u{200D}é', $lines[4]);
        // Where the terminal does not know them they are as many question marks.
        self::assertStringStartsWith('k?ln-????  leader', $ascii[3]);
        self::assertMatchesRegularExpression('/^[\n\x20-\x7E]+$/D', implode("\n", $ascii));
        self::assertSame(strpos($ascii[2], 'ROLE'), strpos($ascii[3], 'leader'));
    }

    public function testOfAThousandMembersItAsksAsManyAsItCan(): void
    {
        $members = [Nodes::leader()];
        for ($i = 2; $i <= 1500; ++$i) {
            $members[] = Nodes::replica("pg$i", '127.0.3.' . $i % 250, ['port' => 1024 + $i]);
        }
        $env = ['HADSN_URL' => self::url($this->cluster(...$members))];

        $json = self::hadsn(['status', '--json'], $env)->json();

        self::assertCount(1500, $json['members']);
        self::assertSame('connection refused', $json['members'][0]['reason']);
        self::assertSame('not asked: there are more than 256', $json['members'][1499]['reason']);
        self::assertLessThan(30.0, self::seconds(static fn() => self::hadsn(['doctor', '--user=app'], $env)));
    }

    public function testMembersThatAreNotAllowedAreNotConnectedTo(): void
    {
        $server = $this->server();
        $patroni = $this->cluster(Nodes::leader(), $server->asMember(Nodes::replica()));
        $url = self::url($patroni, 'allow_hosts=127.0.2.0/24');

        $json = self::hadsn(['status', '--json'], ['HADSN_URL' => $url])->json();
        self::hadsn(['doctor'], ['HADSN_URL' => $url]);

        self::assertSame([false, 'is outside allow_hosts'], [$json['members'][1]['reachable'], $json['members'][1]['reason']]);
        self::assertFalse($server->wasAsked());
        self::hadsn(['status'], ['HADSN_URL' => self::url($patroni)]);
        self::assertTrue($server->wasAsked());
    }

    public function testALeaderThatHadsnDoesNotBelieveIsNoneAndItSaysWhy(): void
    {
        $patroni = $this->patroni(Answer::json([]));
        $api = ['api_url' => "http://{$patroni->address()}/patroni"];
        $patroni->answers(Answer::json([
            'scope' => 'app', 'role' => 'replica', 'state' => 'running', 'timeline' => 3, 'patroni' => ['name' => 'pg1', 'scope' => 'app'],
            'members' => [Nodes::leader(more: $api), Nodes::replica(more: $api)],
        ]));
        $env = ['HADSN_URL' => self::url($patroni)];
        $why = 'patroni ' . $patroni->address() . ' answers: "pg1" is named the leader, and by its own word it is a "replica" in state "running"';

        $outcome = self::hadsn(['status'], $env);
        $json = self::hadsn(['status', '--json'], $env)->json();
        $findings = self::hadsn(['doctor', '--json'], $env)->json()['findings'];

        self::assertSame(1, $outcome->exitCode);
        self::assertMatchesRegularExpression('~^cluster default, no leader, seen .+\n' . preg_quote($why, '~') . '\n\nMEMBER~', $outcome->stdout);
        self::assertSame([null, $why], [$json['leader'], $json['error']]);
        $leader = array_values(array_filter($findings, static fn(array $finding): bool => $finding['id'] === 'cluster.leader'));
        self::assertSame(["error", "nobody leads that hadsn believes: $why"], [$leader[0]['level'], $leader[0]['message']]);
    }

    public function testWithoutALeaderItShowsTheOthersAndEndsWithOne(): void
    {
        $outcome = self::hadsn(['status'], ['HADSN_URL' => self::url($this->cluster(Nodes::replica()))]);

        self::assertSame(1, $outcome->exitCode);
        self::assertStringContainsString('no leader', $outcome->stdout);
        self::assertStringContainsString('pg2', $outcome->stdout);
    }

    public function testWhenNobodyAnswersItEndsWithOne(): void
    {
        $dead = self::deadAddress();
        $env = ['HADSN_URL' => "patroni://u:hunter2@$dead/app"];

        $outcome = self::hadsn(['status'], $env);
        $json = self::hadsn(['status', '--json'], $env);

        self::assertSame([1, ''], [$outcome->exitCode, $outcome->stdout]);
        self::assertStringContainsString("hadsn: no source gave a usable answer: patroni $dead: connection refused", $outcome->stderr);
        self::assertSame([1, null, []], [$json->exitCode, $json->json()['leader'], $json->json()['members']]);
        self::assertStringContainsString('connection refused', $json->json()['error']);
        self::assertStringNotContainsString('hunter2', $outcome->stderr . $json->stdout);
    }

    public function testWatchSeesTheLeaderMove(): void
    {
        $patroni = $this->cluster(...$this->reachable());
        $watch = self::start(['watch', '--interval=200ms', '--json'], ['HADSN_URL' => self::url($patroni)]);
        $watch->waitFor('/"leader":"pg1"/', 20.0);

        $patroni->answers(Answer::members(Nodes::replica('pg1', '127.0.2.1'), Nodes::leader('pg2', '127.0.2.2', ['timeline' => 4])));
        $watch->waitFor('/"leader":"pg2"/', 20.0);
        $patroni->answers(Answer::status(503));
        $watch->waitFor('/"error":"/', 20.0);
        $watch->signal(SIGINT);
        $outcome = $watch->wait(20.0);

        self::assertSame([0, ''], [$outcome->exitCode, $outcome->stderr]);
        foreach (explode("\n", trim($outcome->stdout)) as $line) {
            self::assertIsArray(json_decode($line, true), $line);
        }
    }

    public function testWatchEndsAfterSoManyLooks(): void
    {
        $source = self::url($this->cluster(...$this->reachable()));

        $outcome = self::hadsn(['watch', '--interval=200ms', '--count=3'], ['HADSN_URL' => $source]);

        self::assertSame([0, 3], [$outcome->exitCode, substr_count($outcome->stdout, 'MEMBER')]);
        self::assertStringNotContainsString("\e", $outcome->stdout);
    }

    public function testCtrlCLeavesTheTerminalInOrder(): void
    {
        $source = self::url($this->cluster(...$this->reachable()));
        $watch = self::startOnTerminal(['watch', '--interval=200ms'], ['HADSN_URL' => $source]);
        $watch->waitFor('/\e\[\d+A/', 20.0);

        $watch->type("\x03");
        $outcome = $watch->wait(20.0);

        self::assertSame(0, $outcome->exitCode);
        self::assertDoesNotMatchRegularExpression('/\e\[\?/', $outcome->stdout, 'nothing has to be restored, not even after SIGKILL');
        self::assertMatchesRegularExpression('/\^C\r\n$/', $outcome->stdout, 'the prompt comes in a line of its own');
    }

    public function testWatchDrawsAnewWhenTheTerminalIsResized(): void
    {
        $source = self::url($this->cluster(...$this->reachable()));
        $program = implode(' ', array_map(escapeshellarg(...), [...Php::command(), self::PROGRAM, 'watch', '--interval=60s', "--source=$source"]));
        // The terminal becomes narrow while watch waits for its next look.
        $watch = new Process(
            ['script', '-qefc', "stty cols 100 rows 20; (read go; stty cols 30) </dev/tty & exec $program", '/dev/null'],
            ['TERM' => 'xterm', 'LC_ALL' => 'C.UTF-8'],
        );
        $watch->waitFor('/REACHABLE/', 20.0);

        $watch->type("go\n");
        $watch->waitFor('/\e\[H\e\[2J/', 20.0);
        $watch->waitFor('/\e\[2J.*pg2.*\e\[J/s', 20.0);
        $watch->type("\x03");
        $outcome = $watch->wait(20.0);

        self::assertSame(0, $outcome->exitCode);
        $picture = explode("\e[2J", $outcome->stdout)[1];
        foreach (explode("\n", (string) preg_replace('/\e\[[0-9;?]*[A-Za-z]|\r/', '', $picture)) as $line) {
            self::assertLessThanOrEqual(30, mb_strwidth($line), $line);
        }
    }

    /** @dataProvider ends */
    public function testASignalCountsWhileNobodyAnswers(string $command, int $exitCode): void
    {
        $silent = $this->patroni(Answer::silence());
        $process = self::start([$command, '--json'], ['HADSN_URL' => self::url($silent, 'timeout=2s')]);
        self::await(static fn(): bool => $silent->count() > 0, 'it asks');

        $process->signal(SIGINT);

        self::assertSame($exitCode, $process->wait(10.0)->exitCode);
    }

    /** @return iterable<string, array{string, int}> */
    public static function ends(): iterable
    {
        yield 'watch' => ['watch', 0];
        yield 'bench' => ['bench', 130];
    }

    public function testWatchNeverWritesMoreThanTheTerminalHolds(): void
    {
        $members = [Nodes::leader()];
        for ($i = 2; $i < 40; ++$i) {
            $members[] = Nodes::replica("pg$i", "127.0.3.$i", ['state' => str_repeat('long ', 40)]);
        }
        $outcome = self::startOnTerminal(['watch', '--interval=200ms', '--count=2'], ['HADSN_URL' => self::url($this->cluster(...$members))])->wait(30.0);

        $pictures = preg_split('/\e\[\d+A/', $outcome->stdout);
        self::assertCount(2, $pictures);
        foreach ($pictures as $picture) {
            $lines = explode("\n", (string) preg_replace('/\e\[[0-9;?]*[A-Za-z]|\r/', '', $picture));
            self::assertLessThanOrEqual(20, count($lines));
            self::assertLessThanOrEqual(100, max(array_map(mb_strwidth(...), $lines)));
        }
        self::assertStringContainsString('lines more', $outcome->stdout);
    }
}
