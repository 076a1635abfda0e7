<?php

declare(strict_types=1);

namespace HaDsn\Tests\Recipes;

use HaDsn\Testing\FakeCluster;
use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\UnitTestCase;

require_once __DIR__ . '/../Connection/autoload.php';

/**
 * The files of docs/recipes.md, as they stand there, with two PostgreSQL servers of the test's own that lead one after the other.
 */
final class RecipesTest extends UnitTestCase
{
    private Directory $directory;
    private Postgres $old;
    private Postgres $new;
    private FakePatroni $patroni;

    protected function setUp(): void
    {
        $this->directory = new Directory();
        mkdir("{$this->directory->path}/vendor");
        $this->directory->write('vendor/autoload.php', '<?php require ' . var_export(dirname(__DIR__) . '/Connection/autoload.php', true) . ';');
        [$this->old, $this->new] = [self::server(), self::server()];
        $this->patroni = $this->cluster($this->old->asLeader());
    }

    protected function tearDown(): void
    {
        $this->old->stop();
        $this->new->stop();
        parent::tearDown();
    }

    public function testPdo(): void
    {
        $file = $this->recipe('PDO');
        self::assertSame("1\n", $this->php($file)->wait(30.0)->stdout);
        $this->theLeaderDies();
        $outcome = $this->php($file)->wait(30.0);
        self::assertSame([0, "1\n"], [$outcome->exitCode, $outcome->stdout], $outcome->stderr);
        self::assertSame(['start'], self::visits($this->new));
    }

    public function testPgConnect(): void
    {
        $process = $this->php($this->recipe('pg_connect', <<<'PHP'
            $place = static fn (string $page) => transaction(static function (PgSql\Connection $connection) use ($page): string {
                pg_query_params($connection, 'INSERT INTO visit (page) VALUES ($1)', [$page]);
                // The first time the leader dies in the middle.
                if (!is_file('dead')) {
                    touch('half');
                    while (!is_file('dead')) {
                        usleep(10_000);
                        clearstatcache();
                    }
                }
                pg_query_params($connection, 'INSERT INTO visit (page) VALUES ($1)', ["$page again"]);

                return pg_fetch_result(pg_query($connection, 'SELECT inet_server_port()'), 0, 0);
            });
            query('INSERT INTO visit (page) VALUES ($1)', ['before']);
            echo $place('cart'), "\n";
            query('INSERT INTO visit (page) VALUES ($1)', ['after']);
            try {
                transaction(static fn (PgSql\Connection $connection) => pg_query($connection, 'SELECT 1/0'));
            } catch (ErrorException $e) {
                echo $e->getMessage(), "\n";
            }
            PHP));
        self::await(fn(): bool => is_file("{$this->directory->path}/half"), 'it is in the middle');
        $this->theLeaderDies();
        $this->directory->write('dead', '');
        $outcome = $process->wait(60.0);

        self::assertSame(0, $outcome->exitCode, $outcome->stderr);
        self::assertSame("{$this->new->port}\npg_query(): Query failed: ERROR:  division by zero\n", $outcome->stdout);
        self::assertSame(['cart', 'cart again', 'after'], self::visits($this->new));
    }

    /** The connection stays, and the server behind it does not lead any more. */
    public function testPgConnectThroughAPooler(): void
    {
        $cluster = FakeCluster::inFrontOf(Postgres::HOST, $this->old->port);
        $cluster->before('INSERT INTO visit', nth: 2)->demote();
        $cluster->before('INSERT INTO visit', nth: 4)->demote();
        $file = $this->recipe('pg_connect', <<<'PHP'
            $insert = 'INSERT INTO visit (page) VALUES ($1)';
            foreach (['one', 'two', 'three'] as $page) {
                try {
                    query($insert, [$page]);
                } catch (ErrorException $e) {
                    echo "$page: {$e->getMessage()}\n";
                }
            }
            transaction(static fn (PgSql\Connection $connection) => pg_query_params($connection, $insert, ['four']));
            PHP);
        $outcome = $this->php($file, $cluster->sources('app', ['sslmode' => 'disable'], 'app', 'app'))->wait(30.0);

        self::assertSame(0, $outcome->exitCode, $outcome->stderr);
        self::assertSame("two: pg_query_params(): Query failed: ERROR:  cannot execute INSERT in a read-only transaction\n", $outcome->stdout);
        self::assertSame(['one', 'three', 'four'], self::visits($this->old));
        self::assertCount(5, $cluster->statements('INSERT INTO visit'));
    }

    public function testAWorker(): void
    {
        foreach ([$this->old, $this->new] as $number => $server) {
            foreach (range(1, 20) as $job) {
                $server->connect()->exec("INSERT INTO job (page) VALUES ('$number-$job')");
            }
        }
        $process = $this->php($this->recipe('A worker'));
        self::await(fn(): bool => count(self::visits($this->old)) === 20, 'the first jobs are done');
        $this->theLeaderDies();
        self::await(fn(): bool => count(self::visits($this->new)) === 20, 'the worker goes on', 40.0);
        $process->signal(SIGTERM);
        $outcome = $process->wait(10.0);

        self::assertSame(0, $outcome->exitCode, $outcome->stderr);
        self::assertSame(array_map(static fn(int $job): string => "1-$job", range(1, 20)), self::visits($this->new));
        self::assertSame(0, $this->new->connect()->query('SELECT count(*) FROM job')->fetchColumn());
    }

    public function testAGlobalConnection(): void
    {
        $process = $this->php($this->recipe('A global connection', <<<'PHP'
            echo json_encode([count_visit('one'), $db->get_var('SELECT page FROM visit')]), "\n";
            while (!is_file('dead')) {
                usleep(10_000);
                clearstatcache();
            }
            // The first may find that its connection has just broken, and is not repeated.
            for ($tries = 1; !($isCounted = count_visit('two')) && $tries < 200; ++$tries) {
                usleep(50_000);
            }
            echo json_encode([$isCounted, $db->get_results('SELECT page FROM visit'), $db->query('nonsense'), $db->last_error !== '']), "\n";
            PHP));
        $process->waitFor('/\n/', 20.0);
        $this->theLeaderDies();
        $this->directory->write('dead', '');
        $outcome = $process->wait(60.0);

        self::assertSame("[true,\"one\"]\n[true,[{\"page\":\"two\"}],false,true]\n", $outcome->stdout, $outcome->stderr);
        self::assertSame(['two'], self::visits($this->new));
    }

    /** @return list<string> */
    private static function visits(Postgres $server): array
    {
        return $server->connect()->query('SELECT page FROM visit ORDER BY id')->fetchAll(\PDO::FETCH_COLUMN);
    }

    private static function server(): Postgres
    {
        $server = (new Postgres())->up(['shared_buffers' => '8MB']);
        $server->connect()->exec((new Page('recipes.md'))->first(''));

        return $server;
    }

    private function theLeaderDies(): void
    {
        $this->old->stop();
        $this->patroni->answers(Answer::members($this->new->asLeader()));
    }

    private function recipe(string $section, string $more = ''): string
    {
        return $this->directory->write('recipe.php', (new Page('recipes.md'))->first($section) . $more);
    }

    private function php(string $file, ?string $source = null): Process
    {
        $source ??= str_replace('://', '://app:app@', self::url($this->patroni, 'failover_timeout=20s'));

        return new Process([...Php::command(), $file], ['HADSN_URL' => $source], '', $this->directory->path);
    }
}
