<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use Illuminate\Contracts\Database\LostConnectionDetector;

/**
 * What Laravel's queue worker takes for a reason to end: not what hadsn throws, whatever its text, since the connection is replaced
 * anyway. Laravel has asked for this since 12.22.
 *
 * @internal
 */
final class LostConnections implements LostConnectionDetector
{
    public function __construct(private readonly LostConnectionDetector $otherwise) {}

    public function causedByLostConnection(\Throwable $e): bool
    {
        return !$e instanceof \HaDsn\Exception && $this->otherwise->causedByLostConnection($e);
    }
}
