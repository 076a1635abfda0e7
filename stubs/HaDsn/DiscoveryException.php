<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * No source gave a usable answer, and the last good one is older than `max_stale`, or there is none. The message names
 * every endpoint that was asked, and what came of it.
 */
class DiscoveryException extends \RuntimeException implements Exception {}
