<?php

declare(strict_types=1);

namespace HaDsn\Connection;

use HaDsn\NoLeaderException;
use HaDsn\Phase;
use HaDsn\Verdict;

/**
 * What an error that came out of work means for the work, and for the connection that it was done on.
 *
 * @internal
 */
final class Judgement
{
    /** @param \Throwable|null $end why the connection is of no use any more; null: it is clean */
    private function __construct(public readonly Verdict $verdict, public readonly ?\Throwable $end = null) {}

    /**
     * Only an error of this very connection counts: the work may have talked to other servers too, and their trouble
     * is no reason to repeat anything here. What is open on it is rolled back.
     */
    public static function of(\Throwable $error, Handle $handle, Role $role, Phase $phase, string $cluster): self
    {
        if ($handle->isLost()) {
            return new self(\HaDsn::verdict($error, $phase, $cluster), $error);
        }
        // A write on a replica is a mistake of the work, which a repeat does not mend.
        $maySpeakOfFailover = $role === Role::Writer && (SqlState::isIn($error, SqlState::READ_ONLY) || $error instanceof NoLeaderException);
        try {
            $handle->rollBack();
            // An application's own READ ONLY transaction is refused like that too.
            if (!$maySpeakOfFailover || !$handle->isStandby()) {
                return new self(Verdict::Unrelated);
            }
        } catch (\PDOException $loss) {
            \HaDsn::verdict($loss, Phase::Connect, $cluster);

            return new self($maySpeakOfFailover ? Verdict::Retry : Verdict::Unrelated, $loss);
        }

        return new self(\HaDsn::verdict($error, $phase, $cluster), $error);
    }
}
