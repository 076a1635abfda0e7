<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * No replica may be read from, and `reader_fallback` is `error`. The message names every replica and why it was left
 * out.
 */
class NoReplicaException extends \RuntimeException implements Exception {}
