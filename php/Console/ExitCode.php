<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * What a command ends with. `doctor` uses them as levels: notices at most, warnings, errors.
 *
 * @internal
 */
final class ExitCode
{
    /** It is done, and all is well. */
    public const DONE = 0;

    /** The cluster has no leader, nobody answers, a connection can't be made; `doctor`: warnings. */
    public const UNWELL = 1;

    /** It could not begin: wrong usage or configuration, or the extension is missing; `doctor`: errors. */
    public const UNUSABLE = 2;

    /** A fault of the command line itself. */
    public const FAULT = 3;

    /** Ctrl-C, as shells count it (128 + SIGINT). `watch` ends with 0 then. */
    public const INTERRUPTED = 130;
}
