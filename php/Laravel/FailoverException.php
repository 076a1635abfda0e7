<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\Verdict;
use Illuminate\Database\QueryException;

/**
 * A failover ended a statement, and it was not repeated. It is a QueryException, so code that catches those is not
 * surprised; the verdict says whether the statement may have been carried out.
 *
 * The connection recovers by itself. The text is not the server's, which is in the previous exception: Laravel's queue worker takes
 * those texts for a reason to end.
 */
final class FailoverException extends QueryException implements \HaDsn\Exception
{
    /** `Retry`: nothing of it lasts. `InDoubt`: it may have been carried out. */
    public readonly Verdict $verdict;

    /** @internal */
    public static function of(QueryException $original, Verdict $verdict): self
    {
        if ($original instanceof self) {
            return $original;
        }

        return new self($original, $verdict);
    }

    private function __construct(QueryException $original, Verdict $verdict)
    {
        // Not the parent's constructor: it takes something else in every version.
        \Exception::__construct('', 0, $original->getPrevious());
        foreach (get_object_vars($original) as $name => $value) {
            if (!\in_array($name, ['message', 'file', 'line'], true)) {
                $this->$name = $value;
            }
        }
        $this->verdict = $verdict;
        $cause = $original->getPrevious();
        $this->message = match (true) {
            $cause instanceof \HaDsn\Exception => $cause->getMessage(),
            $verdict === Verdict::InDoubt => 'the connection was lost: the statement may have been carried out, and may not have been',
            default => 'the connection was lost: nothing of the statement lasts',
        } . ' (SQL: ' . $original->getSql() . ')';
    }
}
