<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use HaDsn\Tests\Failover\Postgres;
use HaDsn\Tests\Support\Page;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * What later versions of CodeIgniter do otherwise, where the driver has to do with it: none of them can be had here, so 4.1 is
 * made to do the same.
 */
final class LaterVersionsTest extends UnitTestCase
{
    private const RUN = 'if (! $this->pretend && false === ($this->resultID = $this->simpleQuery($query->getQuery())))';

    private static Postgres $server;

    public static function setUpBeforeClass(): void
    {
        self::$server = (new Postgres())->up(['shared_buffers' => '8MB']);
    }

    public static function tearDownAfterClass(): void
    {
        self::$server->stop();
    }

    /** Its query() catches every exception, ends the transactions with DBDebug, and tells nobody without. */
    public function testAs42(): void
    {
        $application = new Application();
        self::change($application, 'system/Database/BaseConnection.php', self::catching('\Exception') + [
            // The first one behind the loop that ends the transactions.
            "/(automated transaction.+?\n\t\t\t\t\\}\n\n\t\t\t\t)return false;/s" => '$1if ($exception !== null) { throw $exception; } return false;',
        ]);

        foreach ($this->probe($application) as $debugging => $seen) {
            self::assertLossIsTold($seen, $debugging);
        }
    }

    /** Failures in a transaction are no exceptions any more unless transException() asks for them, and all are DatabaseExceptions. */
    public function testAs43AndLater(): void
    {
        $application = new Application();
        self::change($application, 'system/Database/BaseConnection.php', self::catching('DatabaseException') + [
            '/if \(\$this->DBDebug\)(?=\s+\{\s+\/\/ We call this)/' => 'if ($this->DBDebug && ($this->transDepth === 0 || $this->transException))',
            "/(automated transaction.+?\n\t\t\t\t\\}\n\n\t\t\t\t)return false;/s" => '$1if ($exception !== null) { throw new DatabaseException($exception->getMessage(), $exception->getCode(), $exception); } return false;',
            '/(protected \$transFailure = false;)/' => <<<'CODE'
                $1
                    protected bool $transException = false;
                    protected array $dateFormat = [];
                    public function transException(bool $transException) { $this->transException = $transException; return $this; }
                    public function ping(): bool { return $this->connID !== false && $this->_ping(); }
                CODE,
            '/(\$this->queryClass = \$queryClass;\s+\})/' => '$1 if ($this->failover !== []) { $this->initialize(); }',
        ]);
        self::change($application, 'system/Database/Postgre/Connection.php', [
            '/public function execute/' => 'protected function execute',
            '/(public \$schema)/' => "protected \$connect_timeout;\n protected \$options;\n protected \$sslmode;\n protected \$service;\n protected function _ping(): bool { return pg_ping(\$this->connID); }\n $1",
        ]);
        self::change($application, 'system/Database/BasePreparedQuery.php', [
            '/public function close\(\)/' => "protected function isBinary(string \$input): bool { return mb_detect_encoding(\$input, 'UTF-8', true) === false; }\n abstract protected function _close(): bool;\n public function close(): bool",
            '/if \(! is_object\(\$this->statement\)\)\s+\{\s+return;\s+\}\s+\$this->statement->close\(\);/' => 'return $this->_close();',
        ]);
        self::change($application, 'system/Database/Postgre/PreparedQuery.php', [
            '/(public function _prepare\([^)]+\))/' => 'protected function _close(): bool { return true; } $1: PreparedQuery',
        ]);

        foreach ($this->probe($application) as $debugging => $seen) {
            self::assertLossIsTold($seen, $debugging);
            self::assertSame(['false', 'false'], [$seen['failure in a transaction'], $seen['its end']]);
            self::assertSame($debugging === 'DBDebug' ? 'CodeIgniter\Database\Exceptions\DatabaseException' : 'false', $seen['failure outside']);
            self::assertSame($debugging === 'DBDebug' ? 'CodeIgniter\Database\Exceptions\DatabaseException' : 'false', $seen['failure that is asked for']);
            self::assertSame('ff00', $seen['bytes']);
            self::assertSame('true', $seen['ping']);
        }
    }

    /** @return array<string, string> */
    private static function catching(string $class): array
    {
        return ['/' . preg_quote(self::RUN, '/') . '/' => <<<CODE
            \$exception = null;
            try {
                \$this->resultID = \$this->pretend ? null : \$this->simpleQuery(\$query->getQuery());
            } catch ($class \$exception) {
                \$this->resultID = false;
            }
            if (\$this->resultID === false)
            CODE];
    }

    /** @param array<string, string> $changes what takes the place of what matches */
    private static function change(Application $application, string $file, array $changes): void
    {
        $code = (string) file_get_contents("$application->path/$file");
        foreach ($changes as $pattern => $replacement) {
            $code = preg_replace($pattern, $replacement, (string) $code, 1, $count);
            self::assertSame(1, $count, "$file has $pattern");
        }
        $application->write($file, (string) $code);
    }

    /** @param array<string, string> $seen */
    private static function assertLossIsTold(array $seen, string $debugging): void
    {
        $lost = 'HaDsn\CodeIgniter\TransactionLostException';
        self::assertSame([$lost, $lost, $lost, $lost], [$seen['loss'], $seen['next'], $seen['builder'], $seen['complete']], $debugging);
        self::assertSame(['[]', '[1,2]'], [$seen['half'], $seen['whole']], $debugging);
        self::assertSame('false', $seen['connected with a failover array'], $debugging);
    }

    /** @return array<string, array<string, string>> what an application sees, with DBDebug and without */
    private function probe(Application $application): array
    {
        $application->shell('cp -r ' . escapeshellarg(Page::package() . '/php') . ' app/ThirdParty/HaDsn');
        (new Page('codeigniter.md'))->follow('Without Composer', $application);
        $application->write('app/Commands/Probe.php', (string) file_get_contents(__DIR__ . '/Probe.php.txt'));
        $found = [];
        foreach (['DBDebug' => '1', 'without DBDebug' => ''] as $name => $isDebugging) {
            self::$server->connect()->exec('DROP TABLE IF EXISTS entry, document; CREATE TABLE entry (number bigint PRIMARY KEY); CREATE TABLE document (body bytea)');
            $outcome = $application->shell('php spark probe --no-header', [
                'HADSN_URL' => self::url($this->cluster(self::$server->asLeader()), 'failover_timeout=5s'),
                'PROBE_DEBUG' => $isDebugging,
                'PROBE_ADMIN' => 'host=' . Postgres::HOST . ' port=' . self::$server->port . ' user=postgres password=postgres dbname=app',
            ]);
            $found[$name] = $outcome->json();
        }

        return $found;
    }
}
