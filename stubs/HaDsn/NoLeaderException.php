<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * The sources answer, and there is no leader to write to: none was found within `failover_timeout`, a signal ended the
 * wait, or `allow_hosts` leaves out the one there is. The message names the endpoint that answered, and the reason.
 */
class NoLeaderException extends \RuntimeException implements Exception {}
