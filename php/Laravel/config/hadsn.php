<?php

declare(strict_types=1);

return [
    /*
     * Where the clusters are: a source string for each. A connection in config/database.php uses the cluster `default` with 'hadsn' => true,
     * and another one with its name: 'hadsn' => 'orders'. Null: the extension looks itself (HADSN_URL in the environment of
     * the process, hadsn.url in php.ini). With a cached configuration, Laravel does not read .env any more: what stands there has to
     * be named here.
     */
    'clusters' => [
        'default' => env('HADSN_URL'),
        // 'orders' => env('HADSN_URL_ORDERS'),
    ],
];
