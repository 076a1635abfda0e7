<?php

declare(strict_types=1);

namespace HaDsn\CodeIgniter;

use CodeIgniter\Database\Postgre\Builder as PostgreBuilder;

/** CodeIgniter's query builder for PostgreSQL, as it is. */
final class Builder extends PostgreBuilder {}
