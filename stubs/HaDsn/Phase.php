<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * What an application was doing when an error came: {@see \HaDsn::verdict()} needs to know, since the same error means
 * nothing happened in one phase and anything may have happened in another.
 */
enum Phase: string
{
    /** It was connecting. */
    case Connect = 'connect';

    /** It was between BEGIN and COMMIT. */
    case InTransaction = 'in_transaction';

    /** It had sent COMMIT. */
    case Commit = 'commit';

    /** It had sent a statement outside a transaction, which commits by itself. */
    case Autocommit = 'autocommit';

    /** It can't tell. */
    case Unknown = 'unknown';
}
