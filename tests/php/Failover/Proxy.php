<?php

declare(strict_types=1);

namespace HaDsn\Tests\Failover;

use HaDsn\Testing\FakeCluster;
use HaDsn\Testing\FakeMember;

require_once __DIR__ . '/../Connection/autoload.php';

/**
 * A network in front of a server that breaks when it is told to.
 */
final class Proxy
{
    public const HOST = '127.0.0.1';

    /** Everything goes through. */
    public const PASS = 'pass';

    /** The next statement, and that one only, ends the connection, and does not reach the server. */
    public const CLOSE = 'close';

    /** COMMIT ends the connection, and does not reach the server. */
    public const CLOSE_BEFORE_COMMIT = 'close before commit';

    /** COMMIT reaches the server, and its answer ends the connection. */
    public const CLOSE_AFTER_COMMIT = 'close after commit';

    /** Connections end, and new ones are refused, until it is told something else. */
    public const DOWN = 'down';

    private const MEMBER = 'own';

    public readonly int $port;
    private bool $isDown = false;
    private readonly FakeCluster $cluster;

    public function __construct(string $host, int $port, string $mode = self::PASS)
    {
        $this->cluster = FakeCluster::inFrontOf($host, $port, new FakeMember(self::MEMBER));
        $this->port = (int) explode(':', $this->cluster->address(self::MEMBER))[1];
        $this->will($mode);
    }

    /** From now on it does this. */
    public function will(string $mode): void
    {
        $this->cluster->disarm();
        if ($this->isDown) {
            $this->cluster->startMember(self::MEMBER);
            $this->cluster->elect(self::MEMBER);
        }
        $this->isDown = $mode === self::DOWN;
        match ($mode) {
            self::PASS => null,
            self::DOWN => $this->cluster->stopMember(self::MEMBER),
            self::CLOSE => $this->cluster->before('/./s')->cut(),
            self::CLOSE_BEFORE_COMMIT => $this->cluster->before('COMMIT')->cut(),
            self::CLOSE_AFTER_COMMIT => $this->cluster->after('COMMIT')->cut(),
        };
    }

    public function stop(): void
    {
        $this->cluster->stop();
    }
}
