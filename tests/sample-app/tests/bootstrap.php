<?php

/*
 * Finds the classes, which an application leaves to Composer, and a database server to test with.
 */

declare(strict_types=1);

use HaDsn\Tests\Failover\Postgres;

if (!extension_loaded('hadsn')) {
    fwrite(STDERR, "The extension hadsn is not loaded: php -d extension=/path/to/libhadsn.so /usr/bin/phpunit\n");
    exit(1);
}

spl_autoload_register(static function (string $class): void {
    $folders = ['Shop\\Tests\\Pest\\' => __DIR__ . '/pest', 'Shop\\Tests\\' => __DIR__, 'Shop\\' => __DIR__ . '/../src', 'HaDsn\\Tests\\' => __DIR__ . '/../../php', 'HaDsn\\' => __DIR__ . '/../../../php'];
    foreach ($folders as $prefix => $folder) {
        if (str_starts_with($class, $prefix)) {
            $file = "$folder/" . strtr(substr($class, strlen($prefix)), '\\', '/') . '.php';
            if (is_file($file)) {
                require $file;
            }

            return;
        }
    }
});

// In a function: PHPUnit takes global variables along into tests that run in processes of their own.
(static function (): void {
    if (getenv('SHOP_TEST_PORT') === false) {
        $server = (new Postgres())->up();
        // It ends when PHPUnit does.
        register_shutdown_function($server->stop(...));
        putenv('SHOP_TEST_HOST=' . Postgres::HOST);
        putenv("SHOP_TEST_PORT=$server->port");
    }
})();
