<?php

declare(strict_types=1);

namespace Shop;

/**
 * A page for this is better than one that does not end.
 */
final class Closed extends \RuntimeException {}
