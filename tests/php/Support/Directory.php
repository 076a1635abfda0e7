<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * A directory for a test, removed with everything in it when the object goes.
 */
final class Directory
{
    public readonly string $path;

    public function __construct()
    {
        $this->path = sys_get_temp_dir() . '/hadsn-test-' . bin2hex(random_bytes(8));
        mkdir($this->path, 0700);
    }

    public function __destruct()
    {
        self::remove($this->path);
    }

    /** Writes a file and returns its path. */
    public function write(string $name, string $content): string
    {
        file_put_contents("$this->path/$name", $content);

        return "$this->path/$name";
    }

    private static function remove(string $path): void
    {
        if (is_dir($path) && !is_link($path)) {
            foreach (array_diff(scandir($path) ?: [], ['.', '..']) as $name) {
                self::remove("$path/$name");
            }
            rmdir($path);
        } else {
            unlink($path);
        }
    }
}
