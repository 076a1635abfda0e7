<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Php;
use HaDsn\Tests\Support\UnitTestCase;
use HaDsn\Tests\Support\WebServer;

/**
 * PHP code that runs after the script has ended: it may use hadsn, and nothing of it outlives the request.
 */
final class EndOfRequestTest extends UnitTestCase
{
    /** What runs late: a session handler that writes, and a stream that is closed last. */
    private const LATE = <<<'PHP'
        $handler = new class implements SessionHandlerInterface {
            public function open(string $path, string $name): bool
            {
                return true;
            }

            public function close(): bool
            {
                return true;
            }

            public function read(string $id): string
            {
                return '';
            }

            public function write(string $id, string $data): bool
            {
                HaDsn::configure(HaDsn::status()['clusters']['default']['source'], 'late');
                HaDsn::writer('late');
                HaDsn::writer();
                HaDsn::reader();

                return true;
            }

            public function destroy(string $id): bool
            {
                return true;
            }

            public function gc(int $max_lifetime): int
            {
                return 0;
            }
        };
        // Not as a shutdown function, which is earlier.
        session_set_save_handler($handler, false);
        session_start();
        $_SESSION['visits'] = 1;

        final class LateStream
        {
            public $context;

            public function stream_open(): bool
            {
                return true;
            }

            public function stream_close(): void
            {
                HaDsn::writer();
                HaDsn::reader();
            }
        }
        stream_wrapper_register('late', 'LateStream');
        $GLOBALS['late'] = fopen('late://x', 'r');
        PHP;

    public function testAProcessThatUsesHadsnToTheVeryEndEndsWell(): void
    {
        $patroni = $this->cluster(Nodes::leader(), Nodes::replica('pg2'));

        $outcome = Php::run('HaDsn::writer();' . self::LATE . 'echo "done";', env: ['HADSN_URL' => self::url($patroni)]);

        self::assertSame([0, 'done', ''], [$outcome->exitCode, $outcome->stdout, $outcome->stderr]);
    }

    public function testNothingOfALateCallReachesTheNextRequest(): void
    {
        $patroni = $this->cluster(Nodes::leader(), Nodes::replica('pg2'));
        $script = '<?php header("Content-Type: application/json");'
            . '$seen = [array_keys(HaDsn::status()["clusters"]), HaDsn::writer(), HaDsn::reader()];'
            . 'if (isset($_GET["late"])) {' . self::LATE . '} echo json_encode($seen);';
        $server = new WebServer($script, ['hadsn.url' => self::url($patroni)]);

        $answers = [];
        foreach ([['late' => '1'], [], ['late' => '1'], [], []] as $query) {
            $answers[] = $server->get($query);
        }
        $server->stop();

        foreach ($answers as $answer) {
            self::assertSame(['default'], $answer[0]);
            self::assertSame($answers[0], $answer);
        }
    }
}
