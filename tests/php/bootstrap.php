<?php

/*
 * Runs before the tests: checks that there is something to test, and finds the classes beside them.
 */

declare(strict_types=1);

if (!extension_loaded('hadsn')) {
    fwrite(STDERR, <<<'TEXT'
        The extension hadsn is not loaded. Build it and name it:

            cargo build --release
            php -d extension=$PWD/target/release/libhadsn.so /usr/bin/phpunit -c tests/php/phpunit.xml --testsuite unit

        TEXT);
    exit(1);
}

foreach (['ffi', 'pcntl', 'pdo_pgsql', 'pgsql', 'posix'] as $extension) {
    if (!extension_loaded($extension)) {
        fwrite(STDERR, "The tests need the PHP extension $extension. On Debian: php8.2-cli and php8.2-pgsql.\n");
        exit(1);
    }
}

// PHP 8.1 can't hide single arguments from stack traces: there the tests run as php.ini-production has it.
if (PHP_VERSION_ID < 80200) {
    ini_set('zend.exception_ignore_args', '1');
}

spl_autoload_register(static function (string $class): void {
    $prefix = 'HaDsn\\Tests\\';
    if (str_starts_with($class, $prefix)) {
        $file = __DIR__ . '/' . strtr(substr($class, strlen($prefix)), '\\', '/') . '.php';
        if (is_file($file)) {
            require $file;
        }
    }
});

// A cluster that the developer's own environment configures is none of the tests'.
foreach (array_keys(getenv()) as $name) {
    if (str_starts_with($name, 'HADSN_URL')) {
        putenv($name);
    }
}
