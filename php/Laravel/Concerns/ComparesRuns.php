<?php

declare(strict_types=1);

namespace HaDsn\Laravel\Concerns;

use HaDsn\TransactionException;

/**
 * Sees whether a run of a transaction's work does what the run did that a failover has ended. It does not where a model was made or fetched outside
 * of the work: that takes itself for stored, writes nothing, and the transaction would be committed without it.
 *
 * @internal
 */
trait ComparesRuns
{
    /** @var array<string, int>|null how often each statement that may write was carried out in this run, by its hash; null: there is no run */
    private ?array $done = null;

    public function logQuery($query, $bindings, $time = null)
    {
        if ($this->done !== null && preg_match(self::QUESTION, $query) !== 1) {
            $hash = hash('xxh3', $query);
            $this->done[$hash] = 1 + ($this->done[$hash] ?? 0);
        }
        parent::logQuery($query, $bindings, $time);
    }

    /**
     * What was lost by now.
     *
     * @param array<string, int> $lost in earlier runs
     *
     * @return array<string, int>
     */
    private function lostWith(array $lost): array
    {
        foreach ($this->done ?? [] as $hash => $times) {
            $lost[$hash] = max($times, $lost[$hash] ?? 0);
        }

        return $lost;
    }

    /**
     * @param array<string, int> $lost in earlier runs
     *
     * @throws TransactionException if this run has not done it again
     */
    private function checkThatItIsDone(array $lost): void
    {
        foreach ($lost as $hash => $times) {
            if (($this->done[$hash] ?? 0) < $times) {
                throw TransactionException::doneLess();
            }
        }
    }
}
