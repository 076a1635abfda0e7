<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * An application that has copied the package, as docs/codeigniter.md says under "Without Composer".
 */
final class SparkTest extends UnitTestCase
{
    private static Application $application;

    public static function setUpBeforeClass(): void
    {
        self::$application = new Application();
        self::$application->shell('cp -r ' . escapeshellarg(Page::package() . '/php') . ' app/ThirdParty/HaDsn');
        (new Page('codeigniter.md'))->follow('Without Composer', self::$application);
    }

    public function testStatusShowsTheMembers(): void
    {
        $outcome = self::$application->shell('php spark hadsn:status', ['HADSN_URL' => self::url($this->cluster(...Nodes::healthy()))]);

        self::assertSame(0, $outcome->exitCode, $outcome->stdout . $outcome->stderr);
        self::assertMatchesRegularExpression('~\| member \| role +\| state +\| lag \| timeline \| address +\|~', $outcome->stdout);
        self::assertMatchesRegularExpression('~\| pg2 +\| replica \| streaming \| 0 +\| 3 +\| 127\.0\.2\.2:5432 \|~', $outcome->stdout);
        self::assertStringContainsString('pg1 leads', $outcome->stdout);
    }

    public function testStatusAsJson(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        $outcome = self::$application->shell('php spark hadsn:status orders --json --no-header', ['HADSN_URL_ORDERS' => self::url($patroni)]);

        $status = json_decode($outcome->stdout, true);
        self::assertIsArray($status, $outcome->stdout . $outcome->stderr);
        self::assertSame(['orders', 'pg1', 3], [$status['cluster'], $status['leader'], count($status['members'])]);
        self::assertContains(
            ['member' => 'pg2', 'role' => 'replica', 'state' => 'streaming', 'lag' => 0, 'timeline' => 3, 'address' => '127.0.2.2:5432'],
            $status['members'],
        );
    }

    public function testStatusWithoutALeaderOrConfiguration(): void
    {
        $outcome = self::$application->shell('php spark hadsn:status', ['HADSN_URL' => self::url($this->patroni(Answer::members(Nodes::replica())))]);
        self::assertStringContainsString('there is no leader', $outcome->stdout);
        self::assertNotSame(0, $outcome->exitCode);

        $outcome = self::$application->shell('php spark hadsn:status');
        self::assertStringContainsString('HADSN_URL', $outcome->stdout . $outcome->stderr);
    }

    public function testStatusWithoutTheExtension(): void
    {
        $command = [...Php::command(['error_reporting' => (string) (E_ALL & ~E_DEPRECATED)], false), 'spark', 'hadsn:status'];
        $outcome = self::$application->shell(implode(' ', array_map('escapeshellarg', $command)));

        self::assertNotSame(0, $outcome->exitCode);
        self::assertStringContainsString('the extension is not loaded', $outcome->stdout . $outcome->stderr);
    }

    public function testWithoutTheExtensionTheGroupsHostIsUsed(): void
    {
        $server = (new Postgres())->up(['shared_buffers' => '8MB']);
        self::$application->write('app/Commands/Ask.php', <<<'PHP'
            <?php

            namespace App\Commands;

            use CodeIgniter\CLI\BaseCommand;
            use CodeIgniter\CLI\CLI;

            class Ask extends BaseCommand
            {
                protected $group = 'App';
                protected $name = 'ask';
                protected $description = 'Asks.';

                public function run(array $params)
                {
                    $db = db_connect('hadsn');
                    $db->transStart();
                    $row = $db->query('SELECT inet_server_port() AS port')->getRow();
                    $prepared = $db->prepare(static fn ($db) => (new \CodeIgniter\Database\Query($db))->setQuery('SELECT ? + 1 AS two'));
                    $row->two = $prepared->execute(1)->getRow()->two;
                    $row->done = $db->transComplete();
                    $row->error = $db->error();
                    $db->reconnect();
                    $db->close();
                    $db->query('SELECT 1');
                    CLI::write(json_encode($row));
                }
            }
            PHP);
        $command = Php::command(['error_reporting' => (string) (E_ALL & ~E_DEPRECATED)], false);
        self::$application->write('.env', sprintf(<<<'INI'
            database.hadsn.hostname = %s
            database.hadsn.port = %d
            database.hadsn.username = app
            database.hadsn.password = app
            database.hadsn.database = app
            INI, Postgres::HOST, $server->port));
        $outcome = self::$application->shell(implode(' ', array_map('escapeshellarg', [...$command, 'spark', 'ask', '--no-header'])));
        $server->stop();

        self::assertStringContainsString("{\"port\":\"$server->port\",\"two\":\"2\",\"done\":true", $outcome->stdout, $outcome->stderr);
        self::assertSame(1, substr_count(self::$application->log(), 'hadsn: the extension is not loaded'));
    }

    public function testTheGroupsCanBeSetInTheApplication(): void
    {
        self::$application->write('app/Commands/Groups.php', <<<'PHP'
            <?php

            namespace App\Commands;

            use CodeIgniter\CLI\BaseCommand;
            use CodeIgniter\CLI\CLI;

            class Groups extends BaseCommand
            {
                protected $group = 'App';
                protected $name = 'groups';
                protected $description = 'Shows the groups.';

                public function run(array $params)
                {
                    CLI::write(json_encode(config('Database')));
                }
            }
            PHP);
        $before = self::$application->shell('php spark groups --no-header')->json();
        self::$application->insert('app/Config/Database.php', 'public $defaultGroup', "\tpublic \$hadsn = ['DBPrefix' => 'shop_'];\n\tpublic array \$hadsn_reader = [];\n");
        self::$application->write('.env', "database.hadsn.username = somebody\n");
        $after = self::$application->shell('php spark groups --no-header')->json();

        self::assertSame('', $before['hadsn']['DBPrefix']);
        self::assertSame(['shop_', 'somebody', 'HaDsn\CodeIgniter'], [$after['hadsn']['DBPrefix'], $after['hadsn']['username'], $after['hadsn']['DBDriver']]);
        self::assertSame([$before['default'], $before['hadsn_reader']], [$after['default'], $after['hadsn_reader']]);
    }
}
