<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Libpq;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * Answers that Patroni would not give: nothing of them crashes, hangs, or gets into a DSN.
 */
final class HostileAnswersTest extends UnitTestCase
{
    /**
     * @dataProvider unusableAnswers
     */
    public function testAnUnusableAnswerIsReportedWithEndpointAndReason(Answer $answer, string $reason): void
    {
        $patroni = $this->patroni($answer);
        self::configure($patroni, 'timeout=500ms&failover_timeout=30s');

        foreach ([HaDsn::writer(...), HaDsn::topology(...)] as $call) {
            $seconds = self::seconds(static function () use ($call, &$thrown): void {
                $thrown = self::thrown($call);
            });

            self::assertInstanceOf(HaDsn\DiscoveryException::class, $thrown);
            self::assertStringContainsString("patroni {$patroni->address()}: ", $thrown->getMessage());
            self::assertStringContainsString($reason, $thrown->getMessage());
            self::assertDoesNotMatchRegularExpression('/[\x00-\x1f]/', $thrown->getMessage());
            self::assertLessThan(1000, strlen($thrown->getMessage()));
            self::assertLessThan(self::SOON, $seconds);
        }
    }

    /**
     * @dataProvider unusableAnswers
     */
    public function testAfterAGoodAnswerAnUnusableOneDoesNoHarm(Answer $answer, string $reason): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        self::configure($patroni, 'timeout=500ms');
        $good = HaDsn::writer();
        $patroni->answers($answer);

        HaDsn::invalidate();
        $seconds = self::seconds(static fn() => self::assertSame($good, HaDsn::writer()));

        self::assertContains(self::host(HaDsn::reader()), ['127.0.2.2', '127.0.2.3']);
        self::assertSame('pg1', HaDsn::topology()->leader->name);
        self::assertStringContainsString($reason, HaDsn::status()['clusters']['default']['error']);
        self::assertLessThan(self::SOON, $seconds);
    }

    /** @return iterable<string, array{Answer, string}> */
    public static function unusableAnswers(): iterable
    {
        yield 'an empty body' => [Answer::body(''), 'empty'];
        yield 'nothing at all' => [Answer::raw(''), ''];
        yield 'hanging up at once' => [Answer::slam(), ''];
        yield 'half an answer' => [Answer::truncated(), ''];
        yield 'a head without an end' => [Answer::raw("HTTP/1.1 200 OK\r\nContent-Le"), ''];
        yield 'no HTTP' => [Answer::raw("SSH-2.0-OpenSSH_9.2p1\r\n\r\n"), ''];
        yield 'TLS' => [Answer::raw("\x15\x03\x01\x00\x02\x02\x32"), ''];
        yield 'binary noise' => [Answer::raw(str_repeat("\x00\xff\r\n", 5000)), ''];
        yield 'an endless head' => [Answer::raw("HTTP/1.1 200 OK\r\n" . str_repeat("X-Header: x\r\n", 100_000) . "\r\n{}"), ''];
        yield 'a head of one endless line' => [Answer::raw("HTTP/1.1 200 OK\r\nX: " . str_repeat('x', 5_000_000) . "\r\n\r\n{}"), ''];
        yield 'not JSON' => [Answer::body('nonsense'), 'not usable JSON'];
        yield 'HTML' => [Answer::body("<!doctype html>\n<title>502 Bad Gateway</title>", 'text/html'), 'not usable JSON'];
        yield 'JSON that breaks off' => [Answer::body('{"members":[{"name":"pg1","role":"leader"'), 'not usable JSON'];
        yield 'JSON with something behind it' => [Answer::body('{"members":[]} {"members":[]}'), 'not usable JSON'];
        yield 'not UTF-8' => [Answer::body("{\"members\":[{\"name\":\"\xff\"}]}"), 'not usable JSON'];
        yield '10 MB' => [Answer::body('{"members":[' . str_repeat(' ', 10_000_000) . ']}'), 'larger than 1 MiB'];
        yield '10 MB of members' => [
            Answer::body('{"members":[' . str_repeat('{"name":"x","role":"replica"},', 350_000) . '{}]}'),
            'larger than 1 MiB',
        ];
        yield '1,000 levels deep' => [Answer::body('{"members":' . str_repeat('[', 1000) . str_repeat(']', 1000) . '}'), 'not usable JSON'];
        yield 'a tag 1,000 levels deep' => [
            Answer::body(strtr(json_encode(['members' => [Nodes::leader(more: ['tags' => ['x' => 'DEEP']])]], JSON_THROW_ON_ERROR), [
                '"DEEP"' => str_repeat('[', 1000) . str_repeat(']', 1000),
            ])),
            'not usable JSON',
        ];
        yield '100,000 levels deep' => [Answer::body(str_repeat('[', 100_000)), 'not usable JSON'];
        yield 'null' => [Answer::json(null), 'members'];
        yield 'a number' => [Answer::json(42), 'members'];
        yield 'a list' => [Answer::json([]), 'members'];
        yield 'an empty object' => [Answer::json(new \stdClass()), 'members'];
        yield 'members as an object' => [Answer::json(['members' => ['pg1' => Nodes::leader()]]), 'members'];
        yield 'members as a text' => [Answer::json(['members' => 'pg1']), 'members'];
        yield 'members as null' => [Answer::json(['members' => null]), 'members'];
        foreach ([204, 400, 401, 403, 404, 500, 502, 503] as $status) {
            yield "status $status" => [Answer::status($status, [], '{"members":[]}'), "answered $status"];
        }
        foreach ([301, 302, 303, 307, 308] as $status) {
            yield "redirect $status" => [Answer::redirect('/other', $status), "answered $status"];
        }
        yield 'silence' => [Answer::silence(), 'no answer within 500ms'];
        yield 'a byte a second' => [Answer::drip(), 'no answer within 500ms'];
        yield 'a head and then silence' => [Answer::stall(), 'no answer within 500ms'];
        yield 'too late' => [Answer::members(...Nodes::healthy())->after(30.0), 'no answer within 500ms'];
    }

    /**
     * @dataProvider membersThatCanNotBeUsed
     *
     * @param array<string, mixed>|mixed $bad
     */
    public function testAMemberThatCanNotBeUsedDoesNotSpoilTheOthers(mixed $bad): void
    {
        // As a leader it would be one of two.
        $bad = is_array($bad) && $bad !== [] ? ['role' => 'replica'] + $bad : $bad;
        self::configure($this->patroni(Answer::json(['members' => [$bad, ...Nodes::healthy(), $bad]])), 'failover_timeout=1s');

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        self::assertSame(['pg1', 'pg2', 'pg3'], array_column(HaDsn::topology()->members, 'name'));
    }

    /**
     * @dataProvider membersThatCanNotBeUsed
     */
    public function testALeaderThatCanNotBeUsedIsNone(mixed $bad): void
    {
        self::configure($this->patroni(Answer::json(['members' => [$bad, Nodes::replica()]])), 'failover_timeout=0s');

        $thrown = self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer());

        self::assertDoesNotMatchRegularExpression('/[\x00-\x1f]/', $thrown->getMessage());
        self::assertSame('127.0.2.2', self::host(HaDsn::reader()));
    }

    /** @return iterable<string, array{mixed}> */
    public static function membersThatCanNotBeUsed(): iterable
    {
        foreach ([1, null, [], 'pg1', true, new \stdClass()] as $value) {
            yield json_encode($value) => [$value];
        }
        yield 'no host' => [Nodes::leader('bad', more: ['host' => null])];
        yield 'host null' => [['host' => null] + Nodes::leader('bad')];
        yield 'no port' => [Nodes::leader('bad', more: ['port' => null])];
        yield 'port null' => [['port' => null] + Nodes::leader('bad')];
        foreach ([5, 1.5, true, [], ['127.0.2.1'], new \stdClass()] as $host) {
            yield 'host ' . json_encode($host) => [Nodes::leader('bad', more: ['host' => $host])];
        }
        foreach ([0, -1, 65536, 5432.5, '5432', '5432;x', true, [], 1e300] as $port) {
            yield 'port ' . json_encode($port) => [Nodes::leader('bad', more: ['port' => $port])];
        }
        $hosts = [
            '', ' ', '127.0.2.1 ', ' 127.0.2.1', 'a b', "a'b", "'", 'a"b', 'a;b', ';', 'a=b', 'a\\b', "a\nb", "a\tb", "a\0b", 'a,b', 'a/b',
            '127.0.2.1;host=evil', '127.0.2.1 host=evil', "127.0.2.1' host='evil", "127.0.2.1\nhost=evil", 'x;sslmode=disable', "x' sslmode='disable",
            '/tmp', '@abstract', '.', '..', '-x', '%0a', '$(id)', 'größe.example', str_repeat('a', 64), str_repeat('a.', 200),
            '127.0.2.1:5432', '[2001:db8::1]', '2001:db8::1%eth0', '256.1.1.1',
        ];
        foreach ($hosts as $host) {
            yield 'host "' . addcslashes(substr($host, 0, 40), "\0..\37") . '"' => [Nodes::leader('bad', $host)];
        }
    }

    /**
     * @dataProvider wrongTypesOfLesserThings
     *
     * @param array<string, mixed> $more
     */
    public function testWrongTypesOfLesserThingsAreLeftOut(array $more): void
    {
        self::configure($this->patroni(Answer::json(['members' => [Nodes::leader('odd', more: $more)], 'scope' => 7, 'pause' => 'x'])));

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        $member = HaDsn::topology()->leader;
        self::assertNotNull($member);
        foreach (['timeline' => $member->timeline, 'lag' => $member->lag, 'api_url' => $member->apiUrl] as $name => $value) {
            if (array_key_exists($name, $more)) {
                self::assertNull($value, $name);
            }
        }
        self::assertIsString($member->name);
        self::assertIsArray($member->tags);
    }

    /** @return iterable<string, array{array<string, mixed>}> */
    public static function wrongTypesOfLesserThings(): iterable
    {
        yield 'name' => [['name' => 7]];
        yield 'no name' => [['name' => null]];
        yield 'timeline as a text' => [['timeline' => '3']];
        yield 'timeline below zero' => [['timeline' => -1]];
        yield 'timeline beyond 32 bits' => [['timeline' => 1 << 40]];
        yield 'lag as a text' => [['lag' => 'unknown']];
        yield 'lag below zero' => [['lag' => -5]];
        yield 'lag as a fraction' => [['lag' => 1.5]];
        yield 'lag as a list' => [['lag' => []]];
        yield 'tags as a list' => [['tags' => [1, 2]]];
        yield 'tags as a text' => [['tags' => 'x']];
        yield 'api_url as a number' => [['api_url' => 3]];
    }

    /**
     * @dataProvider awkwardNames
     */
    public function testAMembersNameCanNotAddAKeyword(string $name): void
    {
        self::configure($this->cluster(Nodes::leader($name), Nodes::replica("$name 2")), 'failover_timeout=1s');

        $expected = [
            'host', 'port', 'dbname', 'target_session_attrs', 'tcp_user_timeout', 'keepalives_idle', 'keepalives_interval',
            'keepalives_count',
        ];
        self::assertEqualsCanonicalizing($expected, array_keys(Libpq::parsePdo(HaDsn::writer())));
        self::assertEqualsCanonicalizing([...$expected, 'connect_timeout'], array_keys(Libpq::parse(HaDsn::conninfo())));
        self::assertSame($name, HaDsn::topology()->leader->name);
        self::assertSame($name, HaDsn::status()['clusters']['default']['leader']);
    }

    /**
     * @dataProvider awkwardNames
     */
    public function testAMembersNameCanNotBreakAMessage(string $name): void
    {
        self::configure(
            $this->cluster(Nodes::leader($name), Nodes::leader("$name 2", '127.0.2.2')),
            'failover_timeout=0s&reader_fallback=error',
        );

        foreach ([HaDsn::writer(...), HaDsn::reader(...)] as $call) {
            $thrown = self::assertThrows(HaDsn\Exception::class, $call);
            self::assertDoesNotMatchRegularExpression('/[\x00-\x1f]/', $thrown->getMessage());
            self::assertLessThan(1000, strlen($thrown->getMessage()));
        }
    }

    /** @return iterable<string, array{string}> */
    public static function awkwardNames(): iterable
    {
        $names = [
            '', 'pg 1', "pg'1", 'pg"1', 'pg;host=evil', 'pg=1', 'pg\\1', "pg\n1", "pg\r\n\t1", "pg\0x", "x' host='evil", 'ünï', "\u{202e}gp",
            str_repeat('x', 10_000),
        ];
        foreach ($names as $name) {
            yield '"' . addcslashes(substr($name, 0, 40), "\0..\37") . '"' => [$name];
        }
    }

    public function testPhpinfoShowsAwkwardNamesOnOneLine(): void
    {
        self::configure($this->cluster(Nodes::leader("pg\n1\0<b>")));
        HaDsn::writer();

        ob_start();
        (new \ReflectionExtension('hadsn'))->info();
        $info = (string) ob_get_clean();

        self::assertStringNotContainsString("pg\n1", $info);
        self::assertStringNotContainsString("\0", $info);
    }

    /**
     * @dataProvider unusualButGoodAnswers
     */
    public function testAnUnusualButGoodAnswerIsTaken(Answer $answer): void
    {
        self::configure($this->patroni($answer), 'timeout=5s');

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
    }

    /** @return iterable<string, array{Answer}> */
    public static function unusualButGoodAnswers(): iterable
    {
        $body = json_encode(
            ['members' => Nodes::healthy(), 'scope' => 'app', 'pause' => true, 'scheduled_switchover' => ['at' => 'x']],
            JSON_THROW_ON_ERROR,
        );
        yield 'HTTP/1.0 without a length, as Patroni sends it' => [
            Answer::raw("HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.11.2\r\nContent-Type: application/json\r\n\r\n$body"),
        ];
        yield 'in chunks' => [Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" . implode('', array_map(
            static fn(string $part): string => dechex(strlen($part)) . "\r\n$part\r\n",
            str_split($body, 50),
        )) . "0\r\n\r\n")];
        yield 'with white space' => [Answer::body("\n\n$body\n\n")];
        yield 'as text/plain' => [Answer::body($body, 'text/plain')];
        yield 'after a while' => [Answer::body($body)->after(0.3)];
        yield 'with 1,000 members' => [Answer::members(Nodes::leader(), ...array_map(
            static fn(int $i): array => Nodes::replica("r$i", '127.0.100.' . $i % 250, ['port' => 5000 + $i]),
            range(1, 1000),
        ))];
        yield 'with an unknown role beside it' => [Answer::members(Nodes::replica(more: ['role' => 'witness']), ...Nodes::healthy())];
    }
}
