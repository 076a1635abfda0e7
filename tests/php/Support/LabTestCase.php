<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

use HaDsn;

/**
 * A test against the real cluster, which is healthy when a class begins.
 */
abstract class LabTestCase extends UnitTestCase
{
    /** Whether a commit waits for a replica, so that no crash can lose it. */
    protected const SYNCHRONOUS = false;

    /** What else there is to be in the lab: options of `lab up`. */
    protected const OPTIONS = [];

    public static function setUpBeforeClass(): void
    {
        Lab::up(static::SYNCHRONOUS, ...static::OPTIONS);
    }

    protected function setUp(): void
    {
        HaDsn::configure(Lab::URL);
        HaDsn::invalidate();
    }

    /** Where a connection has ended up, by the server's own word. */
    protected static function server(\PDO $pdo): string
    {
        return Lab::ask($pdo, 'SELECT host(inet_server_addr())');
    }
}
