<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * The colours that are used (ECMA-48, SGR).
 *
 * @internal
 */
enum Color: string
{
    case Good = '32';
    case Notice = '36';
    case Warning = '33';
    case Error = '31';
    case Heading = '1';
    case Faint = '2';
}
