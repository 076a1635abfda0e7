<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Postgre\Result as PostgreResult;

/** CodeIgniter's result set of PostgreSQL, as it is. */
final class Result extends PostgreResult {}
