<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * What an error means for the work that was being done: the answer of {@see \HaDsn::verdict()}.
 */
enum Verdict: string
{
    /** The server provably did nothing that lasts: the work may be done again, on a new connection. */
    case Retry = 'retry';

    /** The server may have done it: doing it again may do it twice. */
    case InDoubt = 'in_doubt';

    /** It has nothing to do with a failover. */
    case Unrelated = 'unrelated';
}
