<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Outcome;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * A test that calls the command line as somebody at a shell would.
 */
abstract class ConsoleTestCase extends UnitTestCase
{
    protected const PROGRAM = __DIR__ . '/../../../bin/hadsn';

    protected Directory $directory;

    /** @var list<FakePostgres> */
    private array $servers = [];

    protected function setUp(): void
    {
        $this->directory = new Directory();
    }

    protected function tearDown(): void
    {
        foreach ($this->servers as $server) {
            $server->stop();
        }
        $this->servers = [];
        unset($this->directory);
        parent::tearDown();
    }

    /**
     * @param list<string>          $words behind the program's name
     * @param array<string, string> $env
     * @param array<string, string> $ini
     */
    protected static function hadsn(array $words, array $env = [], array $ini = []): Outcome
    {
        return self::start($words, $env, $ini)->wait(30.0);
    }

    /**
     * @param list<string>          $words
     * @param array<string, string> $env
     * @param array<string, string> $ini
     */
    protected static function start(array $words, array $env = [], array $ini = []): Process
    {
        return new Process([...Php::command($ini), self::PROGRAM, ...$words], $env + ['LC_ALL' => 'C.UTF-8']);
    }

    /**
     * Where the extension is not loaded.
     *
     * @param list<string>          $words
     * @param array<string, string> $env
     */
    protected static function hadsnWithoutExtension(array $words, array $env = []): Outcome
    {
        return (new Process([...Php::command([], false), self::PROGRAM, ...$words], $env + ['LC_ALL' => 'C.UTF-8']))->wait(30.0);
    }

    /**
     * The same on a terminal of 100 columns.
     *
     * @param list<string>          $words
     * @param array<string, string> $env
     */
    protected static function startOnTerminal(array $words, array $env = []): Process
    {
        $command = implode(' ', array_map(escapeshellarg(...), [...Php::command(), self::PROGRAM, ...$words]));

        return new Process(['script', '-qefc', "stty cols 100 rows 20; exec $command", '/dev/null'], $env + ['TERM' => 'xterm', 'LC_ALL' => 'C.UTF-8']);
    }

    /**
     * Starts something that answers like a PostgreSQL server that nobody can log in to.
     *
     * @param string|null $certificate as {@see FakePostgres} takes it
     */
    protected function server(string $answer = 'N', ?string $certificate = null): FakePostgres
    {
        return $this->servers[] = new FakePostgres($answer, $certificate);
    }

    /**
     * A leader and a replica that can be reached.
     *
     * @return list<array<string, mixed>>
     */
    protected function reachable(): array
    {
        return [$this->server()->asMember(Nodes::leader()), $this->server()->asMember(Nodes::replica())];
    }

    /** @return list<array{id: string, level: string, subject: string, message: string, advice: string|null}> */
    protected static function find(Outcome $outcome, string $id): array
    {
        return array_values(array_filter($outcome->json()['findings'], static fn(array $finding): bool => $finding['id'] === $id));
    }

    protected static function assertFound(Outcome $outcome, string $id, string $level, string $message = '', string $subject = ''): void
    {
        foreach (self::find($outcome, $id) as $finding) {
            if ($finding['level'] === $level && str_contains($finding['message'], $message) && str_contains($finding['subject'], $subject)) {
                self::assertTrue(true);

                return;
            }
        }
        self::fail("no finding $id, $level, $subject: $message\n$outcome->stdout");
    }
}
