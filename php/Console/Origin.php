<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * Where a source string was found.
 *
 * @internal
 */
enum Origin
{
    case CommandLine;
    case Environment;
    case File;
    case Ini;
}
