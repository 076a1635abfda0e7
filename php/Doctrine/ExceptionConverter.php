<?php

declare(strict_types=1);

namespace HaDsn\Doctrine;

use Doctrine\DBAL\Driver\API\ExceptionConverter as DriverExceptionConverter;
use Doctrine\DBAL\Driver\Exception;
use Doctrine\DBAL\Exception\ConnectionException;
use Doctrine\DBAL\Exception\ConnectionLost;
use Doctrine\DBAL\Exception\DriverException;
use Doctrine\DBAL\Query;
use HaDsn\Phase;
use HaDsn\Verdict;

/**
 * Calls what breaks in a failover a `ConnectionLost`, also where PDO gives no SQLSTATE for it: DBAL then closes the
 * connection, and makes a new one, to the new leader, for the next statement.
 */
final class ExceptionConverter implements DriverExceptionConverter
{
    public function __construct(
        private readonly DriverExceptionConverter $converter,
        private readonly Memory $memory = new Memory(),
    ) {}

    public function convert(Exception $exception, ?Query $query): DriverException
    {
        $converted = $this->converter->convert($exception, $query);
        $isKnown = $converted instanceof ConnectionLost;
        // A connection that did not come about is none that could be lost.
        if (!\extension_loaded('hadsn') || ($converted instanceof ConnectionException && !$isKnown)) {
            return $converted;
        }
        // Asked in any case: it is also told by that.
        $isLost = \HaDsn::verdict($exception, Phase::Autocommit) !== Verdict::Unrelated;
        if (!$isLost && !$isKnown) {
            return $converted;
        }
        $this->memory->lose();

        return $isKnown ? $converted : new ConnectionLost($exception, $query);
    }
}
