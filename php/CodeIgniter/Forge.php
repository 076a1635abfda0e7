<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Postgre\Forge as PostgreForge;

/** CodeIgniter's schema builder for PostgreSQL, as it is. */
final class Forge extends PostgreForge {}
