<?php

/*
 * Loads the driver's classes on top of a CodeIgniter's own, of whatever version: `php load.php SYSTEM`, where SYSTEM is its
 * folder `system`. A method that does not fit its parent's is a fatal error, and the exit code is not 0.
 */

declare(strict_types=1);

error_reporting(E_ALL & ~E_DEPRECATED);
$roots = ['CodeIgniter\\' => $argv[1], 'HaDsn\\' => dirname(__DIR__, 3) . '/php'];
spl_autoload_register(static function (string $class) use ($roots): void {
    foreach ($roots as $prefix => $folder) {
        $file = "$folder/" . strtr(substr($class, strlen($prefix)), '\\', '/') . '.php';
        if (str_starts_with($class, $prefix) && is_file($file)) {
            require $file;
        }
    }
});
foreach (['Builder', 'Connection', 'Forge', 'PreparedQuery', 'Result', 'Utils', 'Commands\Status', 'Config\Registrar'] as $name) {
    $class = new ReflectionClass("HaDsn\\CodeIgniter\\$name");
    if ($class->isAbstract()) {
        throw new LogicException("{$class->name} lacks a method that this version asks for");
    }
}
echo 'the driver fits ', $argv[1], PHP_EOL;
