<?php

declare(strict_types=1);

namespace HaDsn\Tests\Laravel\app;

use Illuminate\Database\Eloquent\Model;

/**
 * A row of the tests' table.
 */
final class Entry extends Model
{
    public $timestamps = false;
    public $incrementing = false;

    protected $table = 'entry';
    protected $primaryKey = 'number';
    protected $guarded = [];
}
