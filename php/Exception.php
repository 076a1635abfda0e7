<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * Every exception of hadsn's. The extension brings it; this one stands in where it is not loaded, so that the exceptions of the package can be named there.
 */
interface Exception extends \Throwable {}
