<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel;

use HaDsn\Tests\Support\FpmSite;
use HaDsn\Tests\Support\Lab;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\Process;
use HaDsn\Tests\Support\Reply;
use HaDsn\Tests\Support\Request;
use HaDsn\Tests\Support\WalkTestCase;
use HaDsn\Tests\Support\Workplace;

/**
 * docs/laravel.md, word by word, in a fresh application of the whole framework: every second visitor places an order, the others have a job do it. One
 * queue worker works all the time.
 */
final class WalkTest extends WalkTestCase
{
    /** What would not be an error that hadsn explains. */
    private const LOGGED = '/^\[[^]]+\] local\.(?!DEBUG)\w+: (?!.*\bHaDsn\\\\).*$/m';

    private static Workplace $workplace;
    private static Process $worker;

    /** @var array<string, Reply> what a replica said when the leader had gone, by what was done */
    private static array $reads = [];

    protected static function build(): FpmSite
    {
        self::drop();
        self::$workplace = new Workplace(packages: ['laravel/framework' => '/usr/share/php/Illuminate'], skeleton: __DIR__ . '/skeleton', composer: [
            'autoload' => ['psr-4' => ['App\\' => 'app/']],
            'scripts' => ['post-autoload-dump' => '@php artisan package:discover'],
        ]);
        self::$workplace->run('mkdir -p bootstrap/cache storage/logs storage/framework/cache/data storage/framework/sessions storage/framework/views');
        self::$workplace->run('composer require laravel/framework');
        $page = new Page('laravel.md');
        $page->follow('In five minutes', self::$workplace, '/^Since Laravel 11/');
        self::$workplace->stop();
        $page->follow('Jobs', self::$workplace);
        self::$workplace->set('.env', 'QUEUE_CONNECTION=database');
        self::$workplace->append('routes/web.php', <<<'PHP'

            Route::post('/jobs/{number}', function (int $number) {
                \App\Jobs\WriteOrder::dispatch($number);

                return ['written' => $number];
            })->withoutMiddleware(VerifyCsrfToken::class);
            PHP);
        self::$workplace->run('php artisan queue:table && php artisan migrate --force && php artisan config:cache && php artisan route:cache');
        $pdo = self::app();
        $pdo->exec('DELETE FROM orders');
        // A job may run twice, and writes with a key; without one a second row of an order is seen.
        $pdo->exec('CREATE UNIQUE INDEX ON orders (number) WHERE number % 2 = 0');
        self::$worker = self::$workplace->start('php artisan queue:work --sleep=0.05 --tries=0 --timeout=0');

        return new FpmSite(self::$workplace->path . '/public');
    }

    protected static function request(int $number): Request
    {
        return self::$site->request('POST', ($number % 2 === 0 ? 'jobs/' : 'orders/') . $number);
    }

    protected static function outcome(int $number, Reply $reply): ?string
    {
        return match (true) {
            $reply->status === 200 && $reply->json() === ['written' => $number] => self::WRITTEN,
            $reply->status === 503 && str_starts_with($reply->body, 'The database is changing its leader.') => self::NOT_WRITTEN,
            $reply->status === 500 => self::UNKNOWN,
            default => null,
        };
    }

    protected static function during(string $change): void
    {
        self::$reads[$change] = self::$site->ask('GET', 'orders/1');
    }

    protected static function finish(): void
    {
        self::await(static fn(): bool => self::column('SELECT count(*) FROM jobs') === [0], 'the worker has done all jobs', 60.0);
    }

    protected static function rows(): array
    {
        return array_count_values(self::column('SELECT number FROM orders'));
    }

    public static function tearDownAfterClass(): void
    {
        self::$worker->stop();
        parent::tearDownAfterClass();
        self::drop();
    }

    public function testReadsGoOnWhileNobodyLeads(): void
    {
        foreach (self::$reads as $change => $reply) {
            self::assertSame('200 {"number":1}', (string) $reply, $change);
        }
    }

    public function testTheFiveMinutesGiveAWorkingApplication(): void
    {
        self::assertMatchesRegularExpression('~^\| pg\d +\| leader~m', self::$workplace->said());
        // A replica may be a moment behind.
        self::assertMatchesRegularExpression('~\{"written":1\}\{"number":(1|null)\}~', self::$workplace->said());
    }

    public function testTheWorkerIsStillTheSame(): void
    {
        self::assertTrue(self::$worker->isRunning());
        self::$worker->signal(SIGTERM);

        self::assertSame(0, self::$worker->wait(20.0)->exitCode);
    }

    public function testNothingElseIsLogged(): void
    {
        $log = (string) file_get_contents(self::$workplace->path . '/storage/logs/laravel.log');

        self::assertSame(0, preg_match_all(self::LOGGED, $log, $found), implode("\n", $found[0]));
    }

    public function testAUserSeesWhatHeHasWrittenAlsoOnReplicasThatAreBehind(): void
    {
        $nodes = array_values(array_diff(Lab::replicas(), [self::$leaders['kill'][0]]));
        // One whose replay is paused before it follows the new leader would never get there.
        $streams = static fn(array $node): bool => !in_array($node['name'], $nodes, true) || $node['state'] === 'streaming';
        self::await(static fn(): bool => count(array_filter(Lab::status()['nodes'], $streams)) === 3, 'the replicas follow the new leader', 60.0);
        $replicas = array_map(
            static fn(string $node): \PDO => Lab::connect('pgsql:dbname=app;host=' . Lab::address($node), 'postgres', 'postgres'),
            $nodes,
        );
        try {
            foreach ($replicas as $replica) {
                $replica->exec('SELECT pg_wal_replay_pause()');
            }
            $number = self::$visitors->next();
            $written = self::$site->ask('POST', "orders/$number");
            self::assertSame(200, $written->status, (string) $written);
            self::assertNotNull($written->cookie);

            // A replica that has just got a new leader is not read from yet.
            $behind = static fn(): bool => (string) self::$site->ask('GET', "orders/$number") === '200 {"number":null}';
            self::await($behind, 'somebody else reads from a replica that is behind', 60.0);
            for ($time = 1; $time <= 20; ++$time) {
                self::assertSame("200 {\"number\":$number}", (string) self::$site->ask('GET', "orders/$number", $written->cookie), 'the same user');
            }
        } finally {
            foreach ($replicas as $replica) {
                $replica->exec('SELECT pg_wal_replay_resume()');
            }
        }
    }

    private static function drop(): void
    {
        self::app()->exec('DROP TABLE IF EXISTS orders, jobs, migrations');
    }
}
