<?php

declare(strict_types=1);

namespace HaDsn\Connection;

/**
 * What a connection is for, in the words of `HaDsn::connect()`.
 *
 * @internal
 */
enum Role: string
{
    case Writer = 'writer';
    case Reader = 'reader';
}
