<?php

declare(strict_types=1);

use PhpCsFixer\Config;
use PhpCsFixer\Finder;

$finder = Finder::create()
    ->in([__DIR__ . '/bench', __DIR__ . '/php', __DIR__ . '/stubs', __DIR__ . '/tests'])
    ->append(array_filter([__FILE__, __DIR__ . '/bin/hadsn'], is_file(...)));

return (new Config())
    ->setFinder($finder)
    ->setUsingCache(false)
    ->setRiskyAllowed(true)
    ->setRules([
        '@PER-CS' => true,
        'declare_strict_types' => true,
        'no_unused_imports' => true,
        'strict_param' => true,
    ]);
