<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel\app;

use Illuminate\Database\PostgresConnection;

/**
 * The connection of another package.
 */
final class Elsewhere extends PostgresConnection {}
