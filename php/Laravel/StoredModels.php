<?php

declare(strict_types=1);

namespace HaDsn\Laravel;

use HaDsn\TransactionException;

/**
 * Eloquent's models that the work of a transaction has stored. When a failover has ended that work, they take for stored what is not: those from
 * outside of the work would write nothing in the next run, and the transaction would be committed without them.
 *
 * @internal
 */
final class StoredModels
{
    /** @var \WeakMap<object, bool> those of this run; true: it was deleted */
    private \WeakMap $now;

    /** @var \WeakMap<object, bool> those of runs that were lost. What was made in the work has gone with it */
    private \WeakMap $lost;

    private bool $isUsedAgain = false;

    public function __construct()
    {
        $this->now = new \WeakMap();
        $this->lost = new \WeakMap();
    }

    /** The run was lost, and another one begins. */
    public function lose(): void
    {
        foreach ($this->now as $model => $isDeleted) {
            $this->lost[$model] = $isDeleted;
        }
        $this->now = new \WeakMap();
    }

    /** A model was stored, or deleted. */
    public function add(object $model, bool $isDeleted): void
    {
        $this->now[$model] = $isDeleted;
    }

    /**
     * A model is about to be stored.
     *
     * @throws TransactionException if it was stored in a run that was lost
     */
    public function use(object $model): void
    {
        if (isset($this->lost[$model])) {
            $this->isUsedAgain = true;
            throw TransactionException::stored();
        }
    }

    /**
     * @throws TransactionException if the run has not done what a lost one had: of a model that it takes for stored or deleted
     */
    public function check(): void
    {
        // Somebody may have caught what use() has thrown.
        if ($this->isUsedAgain) {
            throw TransactionException::stored();
        }
        foreach ($this->lost as $model => $isDeleted) {
            // Eloquent does not even tell that it deletes what it takes for deleted.
            if ($isDeleted && !isset($this->now[$model])) {
                throw TransactionException::stored();
            }
        }
    }
}
