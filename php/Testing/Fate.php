<?php

declare(strict_types=1);

namespace HaDsn\Testing;

/**
 * What became of a statement that the application has sent.
 */
enum Fate: string
{
    /** The server has done it, and the application knows. */
    case Done = 'done';

    /** The server has refused it, and the application knows: an error of SQL, 25006, … */
    case Refused = 'refused';

    /** It never reached the server: the connection ended before. */
    case NotSent = 'not sent';

    /** The server has done it, and the connection ended before the application heard of it. */
    case Unanswered = 'unanswered';

    /** The connection ended, or has not ended yet, while the server was at it. */
    case Open = 'open';
}
