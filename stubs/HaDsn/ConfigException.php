<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * The configuration or an argument is wrong; trying again does not help. The message names the option or the argument
 * and the text that was not accepted, and never a password.
 */
class ConfigException extends \RuntimeException implements Exception {}
