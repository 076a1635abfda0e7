<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * The extension hadsn: whether this PHP has it, and how to give it that.
 *
 * @internal
 */
final class Extension
{
    public static function isLoaded(): bool
    {
        return extension_loaded('hadsn');
    }

    public static function howToLoad(): string
    {
        $ini = php_ini_loaded_file();
        $place = $ini === false ? 'a php.ini (this PHP has read none)' : $ini;
        $scanned = php_ini_scanned_files();
        if (is_string($scanned) && $scanned !== '') {
            $place .= ' or a file in ' . dirname(trim(explode(',', $scanned)[0]));
        }

        return "write `extension=hadsn` into $place, or load it for one call: php -d extension=/path/to/libhadsn.so "
            . ($_SERVER['argv'][0] ?? 'vendor/bin/hadsn') . ' ...';
    }
}
