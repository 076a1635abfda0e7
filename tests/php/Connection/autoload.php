<?php

/*
 * Finds the classes of the package (php/) and, where Composer has not brought it, Debian's psr/log.
 */

declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'HaDsn\\') && !str_starts_with($class, 'HaDsn\\Tests\\')) {
        $file = __DIR__ . '/../../../php/' . strtr(substr($class, strlen('HaDsn\\')), '\\', '/') . '.php';
        if (is_file($file)) {
            require $file;
        }
    }
});

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'Psr\\Log\\')) {
        require_once '/usr/share/php/Psr/Log/autoload.php';
    }
});
