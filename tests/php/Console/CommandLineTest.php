<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;

/**
 * How the command line is called: help, mistakes, and where the source string comes from.
 */
final class CommandLineTest extends ConsoleTestCase
{
    private const COMMANDS = ['status', 'watch', 'dsn', 'doctor', 'forget', 'bench'];

    public function testHelpNamesEveryCommandAndCommonOption(): void
    {
        foreach ([['--help'], ['-h'], ['help']] as $words) {
            $outcome = self::hadsn($words);

            self::assertSame([0, ''], [$outcome->exitCode, $outcome->stderr]);
            foreach ([...self::COMMANDS, '--cluster=NAME', '--source=URL', '--user', '--password-file', '--json', '--no-color', 'EXIT CODES', 'HADSN_URL_FILE'] as $word) {
                self::assertStringContainsString($word, $outcome->stdout);
            }
        }
    }

    public function testEveryCommandHasHelpOfItsOwn(): void
    {
        foreach (self::COMMANDS as $command) {
            $outcome = self::hadsn([$command, '--help']);

            self::assertSame([0, ''], [$outcome->exitCode, $outcome->stderr], $command);
            foreach (["hadsn $command", 'SYNOPSIS', 'DESCRIPTION', 'COMMON OPTIONS', 'EXIT CODES', 'EXAMPLES'] as $text) {
                self::assertStringContainsString($text, $outcome->stdout);
            }
            self::assertSame($outcome->stdout, self::hadsn(['help', $command])->stdout);
            foreach (explode("\n", explode('EXAMPLES', $outcome->stdout)[0]) as $line) {
                self::assertLessThanOrEqual(80, mb_strwidth($line), $line);
            }
        }
    }

    public function testTheVersionIsThatOfTheExtension(): void
    {
        self::assertSame('hadsn ' . phpversion('hadsn') . ', PHP ' . PHP_VERSION . "\n", self::hadsn(['--version'])->stdout);
    }

    /**
     * @dataProvider mistakes
     *
     * @param list<string> $words
     */
    public function testAMistakeIsNamedAndEndsWithTwo(array $words, string $message): void
    {
        $outcome = self::hadsn($words, ['HADSN_URL' => 'patroni://127.0.0.1:1/app']);

        self::assertSame([2, ''], [$outcome->exitCode, $outcome->stdout]);
        self::assertStringContainsString("hadsn: $message", $outcome->stderr);
        self::assertSame(1, substr_count($outcome->stderr, "\n"));
    }

    /** @return iterable<string, array{list<string>, string}> */
    public static function mistakes(): iterable
    {
        yield 'nothing' => [[], 'no command: expected one of status, watch, dsn, doctor, forget, bench'];
        yield 'a misspelt command' => [['statsu'], 'unknown command "statsu": did you mean status?'];
        yield 'an unknown option' => [['status', '--jsno'], 'unknown option "--jsno": did you mean --json?'];
        yield 'an unknown option with a secret' => [['status', '--pasword=hunter2'], 'unknown option "--pasword";'];
        yield 'the same before the command' => [['--pasword', 'hunter2', 'status'], 'unknown option "--pasword"; '];
        yield 'an option of another command' => [['status', '--interval=1s'], 'unknown option "--interval"'];
        yield 'no value' => [['status', '--cluster'], 'option --cluster: needs a value: --cluster=NAME'];
        yield 'a value too many' => [['status', '--json=yes'], 'option --json: takes no value'];
        yield 'twice' => [['status', '--json', '--json'], 'option --json: given twice'];
        yield 'a word too many' => [['status', 'now'], 'unexpected "now"'];
        yield 'control characters' => [["sta\e[2Jtus"], 'unknown command "sta\x1B[2Jtus"'];
        yield 'a bare number' => [['watch', '--interval=5'], 'option --interval: "5": expected a duration such as 500ms, 5s or 2m'];
        yield 'too short' => [['watch', '--interval=10ms'], 'option --interval: "10ms"'];
        yield 'too many' => [['bench', '--count=1000000'], 'option --count: "1000000": expected a whole number from 1 to 100000'];
        yield 'no role' => [['dsn'], 'expected writer or reader'];
        yield 'another role' => [['dsn', 'leader'], '"leader": expected writer or reader'];
        yield 'a secret without its string' => [['dsn', 'writer', '--show-password'], 'option --show-password: belongs to --conninfo'];
        yield 'a bad source' => [['status', '--source=patroni://a/app?poll=5'], 'option poll: "5"'];
        yield 'a bad cluster' => [['status', '--cluster=A'], 'cluster "A"'];
        yield 'no such file' => [['status', '--password-file=/no/such/file'], 'file "/no/such/file": can\'t be read: no such file or directory'];
        yield 'nothing configured' => [['status', '--cluster=orders'], 'cluster "orders": no source is configured'];
    }

    public function testWithoutTheExtensionItSaysHowToLoadItAndWhatWorksAllTheSame(): void
    {
        foreach (['status', 'watch', 'dsn', 'forget', 'bench'] as $command) {
            $outcome = self::hadsnWithoutExtension([$command]);

            self::assertSame([2, ''], [$outcome->exitCode, $outcome->stdout]);
            self::assertStringContainsString('the extension hadsn is not loaded: write `extension=hadsn` into ', $outcome->stderr);
            self::assertStringContainsString('php -d extension=', $outcome->stderr);
            self::assertStringContainsString('there is hadsn doctor', $outcome->stderr);
            self::assertSame(0, self::hadsnWithoutExtension([$command, '--help'])->exitCode);
        }
        self::assertStringContainsString('extension not loaded', self::hadsnWithoutExtension(['--version'])->stdout);
    }

    public function testTheSourceComesFromWhereTheExtensionFindsIt(): void
    {
        $source = self::url($this->cluster(...$this->reachable()));
        $file = $this->directory->write('source', "$source\n");
        $dead = 'patroni://127.0.0.1:1/app';

        foreach ([
            'option' => [['status', "--source=$source"], ['HADSN_URL' => $dead], []],
            'option before the command' => [['--source', $source, 'status'], [], []],
            'environment' => [['status'], ['HADSN_URL' => $source, 'HADSN_URL_FILE' => '/no/such/file'], ['hadsn.url' => $dead]],
            'file' => [['status'], ['HADSN_URL_FILE' => $file], ['hadsn.url' => $dead]],
            'php.ini' => [['status'], [], ['hadsn.url' => $source]],
            'another cluster' => [['status', '--cluster=orders'], ['HADSN_URL' => $dead, 'HADSN_URL_ORDERS' => $source], []],
            'another cluster in a file' => [['status', '--cluster', 'orders'], ['HADSN_URL_ORDERS_FILE' => $file], []],
            'another cluster in php.ini' => [['status', '--cluster', 'orders'], [], ['hadsn.url.orders' => $source]],
        ] as $place => [$words, $env, $ini]) {
            $outcome = self::hadsn($words, $env, $ini);

            self::assertSame([0, ''], [$outcome->exitCode, $outcome->stderr], $place);
            self::assertStringContainsString('pg1', $outcome->stdout, $place);
        }
    }

    public function testNoColorsAndNoProgressWhereNoTerminalIs(): void
    {
        $source = self::url($this->cluster(...$this->reachable()));
        foreach (['status', 'doctor', 'forget', '--help'] as $command) {
            $outcome = self::hadsn([$command], ['HADSN_URL' => $source, 'TERM' => 'xterm']);

            self::assertStringNotContainsString("\e", $outcome->stdout . $outcome->stderr);
        }
    }

    public function testColorsOnATerminalUnlessTheyAreUnwanted(): void
    {
        $source = self::url($this->cluster(...$this->reachable()));
        $green = "\e[32mpg1   \e[0m";

        self::assertStringContainsString($green, self::startOnTerminal(['status'], ['HADSN_URL' => $source])->wait(30.0)->stdout);
        foreach ([[['status'], ['NO_COLOR' => '1']], [['status', '--no-color'], []], [['status'], ['TERM' => 'dumb']]] as [$words, $env]) {
            $outcome = self::startOnTerminal($words, $env + ['HADSN_URL' => $source])->wait(30.0);

            self::assertStringNotContainsString($green, $outcome->stdout);
            self::assertStringContainsString('pg1', $outcome->stdout);
        }
    }

    public function testAReaderThatGoesAwayIsNoCrash(): void
    {
        $source = self::url($this->cluster(...$this->reachable()));
        $command = implode(' ', array_map(escapeshellarg(...), [...Php::command(), self::PROGRAM, 'watch', '--interval=200ms', "--source=$source"]));

        $outcome = (new Process(['/bin/sh', '-c', "$command | head -n 1"]))->wait(30.0);

        self::assertSame('', $outcome->stderr);
    }

    public function testAResultThatCannotBeWrittenIsNoSuccess(): void
    {
        $source = self::url($this->cluster(...$this->reachable()));
        $command = implode(' ', array_map(escapeshellarg(...), [...Php::command(), self::PROGRAM, 'status', "--source=$source"]));

        $outcome = (new Process(['/bin/sh', '-c', "$command > /dev/full"]))->wait(30.0);

        self::assertSame([1, "hadsn: the result can't be written: no space left on device\n"], [$outcome->exitCode, $outcome->stderr]);
    }

    public function testWhereTheLocaleIsNotUtf8EveryTextIsAscii(): void
    {
        $env = ['HADSN_URL' => self::url($this->cluster(...$this->reachable()), database: 'caf%C3%A9')];
        foreach ([['LC_ALL' => 'C'], ['LC_ALL' => '', 'LC_CTYPE' => 'de_DE.ISO-8859-1'], ['LC_ALL' => '', 'LANG' => '']] as $locale) {
            foreach ([['--help'], ['doctor', '--help'], ['status'], ['doctor'], ['statüs']] as $words) {
                $outcome = self::hadsn($words, $locale + $env);

                self::assertMatchesRegularExpression('/^[\n\x20-\x7E]+$/D', $outcome->stdout . $outcome->stderr, implode(' ', $words));
            }
        }
        self::assertStringContainsString("\n           > ", self::hadsn(['doctor'], ['LC_ALL' => 'C'] + $env)->stdout);
        // What a program reads is the same everywhere.
        self::assertStringContainsString('café', self::hadsn(['dsn', 'reader'], ['LC_ALL' => 'C'] + $env)->stdout);
    }

    public function testAFaultOfItsOwnShowsNoArguments(): void
    {
        $patroni = $this->cluster(...$this->reachable());
        $outcome = self::hadsn(['status', "--source=patroni://u:hunter2@{$patroni->address()}/app"], [], ['disable_functions' => 'hrtime']);

        self::assertSame([3, ''], [$outcome->exitCode, $outcome->stdout]);
        self::assertMatchesRegularExpression('/^hadsn: a fault of its own, please report it: Error in \w+\.php:\d+: .*hrtime.*\n$/D', $outcome->stderr);
    }

    public function testAPasswordMayComeThroughAPipe(): void
    {
        $env = ['HADSN_URL' => self::url($this->cluster(...$this->reachable()))];
        $command = [...Php::command(), self::PROGRAM, 'dsn', 'reader', '--conninfo', '--show-password', '--user=app', '--password-file=/dev/stdin'];

        $outcome = (new Process($command, $env, "hunter2\n"))->wait(30.0);

        self::assertStringContainsString('password=hunter2', $outcome->stdout, $outcome->stderr);
        $shell = implode(' ', array_map(escapeshellarg(...), array_slice($command, 0, -1))) . ' --password-file=<(echo hunter3)';
        self::assertStringContainsString('password=hunter3', (new Process(['/bin/bash', '-c', $shell], $env))->wait(30.0)->stdout);
        self::assertStringContainsString(': is a directory', self::hadsn(['status', '--password-file=/tmp'], $env)->stderr);
    }

    public function testForgetSaysWhoLeadsNow(): void
    {
        $source = self::url($this->cluster(...Nodes::healthy()));

        $outcome = self::hadsn(['forget'], ['HADSN_URL' => $source]);
        $json = self::hadsn(['forget', '--json'], ['HADSN_URL' => $source])->json();

        self::assertSame([0, "cluster default: forgotten; the leader is pg1 on timeline 3\n"], [$outcome->exitCode, $outcome->stdout]);
        self::assertSame(['pg1', 3, null], [$json['leader'], $json['timeline'], $json['error']]);
        self::assertSame(1, self::hadsn(['forget'], ['HADSN_URL' => 'patroni://' . self::deadAddress() . '/app'])->exitCode);
    }
}
