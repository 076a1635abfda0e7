<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Postgre\Utils as PostgreUtils;

/** CodeIgniter's utilities for PostgreSQL, as they are. */
final class Utils extends PostgreUtils {}
