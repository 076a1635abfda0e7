<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Cluster;
use HaDsn\Console\Extension;
use HaDsn\Console\Origin;
use HaDsn\Console\Source;

/**
 * The extensions, and the source string: where it comes from, and who can read it.
 *
 * @internal
 */
final class Configuration
{
    public static function checkExtensions(Report $report): void
    {
        $php = 'PHP ' . PHP_VERSION . ', ' . PHP_SAPI;
        if (Extension::isLoaded()) {
            $report->ok('configuration.extension', 'extension hadsn', phpversion('hadsn') . ", $php");
        } else {
            $report->add(
                'configuration.extension',
                Level::Error,
                'extension hadsn',
                "not loaded in this PHP ($php): what it would make of the cluster and of the options is not known; the rest is checked",
                Extension::howToLoad(),
            );
        }
        if (!extension_loaded('pdo_pgsql')) {
            $report->add(
                'configuration.driver',
                Level::Error,
                'extension pdo_pgsql',
                'not loaded',
                'install it (on Debian: php-pgsql) and load it: HaDsn::connect() and the DSNs need PDO\'s PostgreSQL driver',
            );
        }
        if (!extension_loaded('openssl')) {
            $report->add(
                'configuration.openssl',
                Level::Notice,
                'extension openssl',
                'not loaded: doctor itself can speak no TLS and looks at no certificate (hadsn and libpq do not need it)',
                'load it for the command line, or check the certificates elsewhere',
            );
        }
    }

    public static function check(Cluster $cluster, Report $report): void
    {
        $source = $cluster->source;
        $report->ok('configuration.source', $cluster->place, $source->display());
        if ($source->hasPassword()) {
            self::checkSecret($cluster, $report);
        }
        self::checkSpeech($source, $report);
    }

    private static function checkSecret(Cluster $cluster, Report $report): void
    {
        if ($cluster->origin === Origin::Environment) {
            $report->add(
                'configuration.secret',
                Level::Notice,
                $cluster->place,
                'holds a password',
                'phpinfo() and error pages show the environment: put the source string into a file and name that in HADSN_URL_FILE',
            );
        } elseif ($cluster->origin === Origin::CommandLine) {
            $report->add(
                'configuration.secret',
                Level::Warning,
                $cluster->place,
                'holds a password',
                'other users of this machine see it in the list of processes: use HADSN_URL_FILE, or --password-file',
            );
        } else {
            $files = $cluster->origin === Origin::File ? [$cluster->place] : self::iniFiles($cluster->name);
            foreach (array_filter($files, static fn(string $file): bool => (fileperms($file) & 0007) !== 0) as $file) {
                $report->add(
                    'configuration.secret',
                    Level::Warning,
                    $file,
                    'holds a password, and everybody on this machine may read it',
                    'chmod o= the file, and give it to the group of the PHP processes; in php.ini it may be hadsn.url without the password, which PDO takes beside the DSN',
                );
            }
        }
    }

    /**
     * The files of php.ini that hold the source string.
     *
     * @return list<string>
     */
    private static function iniFiles(string $cluster): array
    {
        $setting = preg_quote($cluster === 'default' ? 'hadsn.url' : "hadsn.url.$cluster", '/');
        $files = array_map(trim(...), explode(',', php_ini_loaded_file() . ',' . php_ini_scanned_files()));

        return array_values(array_filter($files, static fn(string $file): bool => is_readable($file) && preg_match("/^\\s*$setting\\s*=/m", (string) file_get_contents($file)) === 1));
    }

    /** What goes over the wire in the open. */
    private static function checkSpeech(Source $source, Report $report): void
    {
        if ($source->asksPatroni(false) && $source->option('patroni_password') !== null) {
            $report->add(
                'tls.patroni',
                Level::Notice,
                'patroni_password',
                'goes over HTTP in the open',
                'give the REST API a certificate (Patroni: restapi.certfile) and write patroni+https://',
            );
        }
        $mode = $source->option('sslmode') ?? 'prefer';
        if (!in_array($mode, ['verify-ca', 'verify-full'], true)) {
            $report->add(
                'tls.sslmode',
                Level::Notice,
                "sslmode=$mode",
                'nobody checks whether it is the right PostgreSQL server that answers',
                'where the network is not yours alone: sslmode=verify-full and sslrootcert=FILE',
            );
        }
        self::checkFiles($source, $report);
    }

    private static function checkFiles(Source $source, Report $report): void
    {
        foreach (['patroni_cafile', 'patroni_cert', 'patroni_key', 'sslrootcert', 'sslcert', 'sslkey', 'sslcrl', 'passfile'] as $option) {
            $file = $source->option($option);
            if ($file === null || $option === 'sslrootcert' && $file === 'system') {
                continue;
            }
            if (!is_readable($file)) {
                $report->add(
                    'tls.file',
                    Level::Error,
                    "$option=$file",
                    'can\'t be read',
                    'name a file that this user, and the user of the PHP processes, can read',
                );
            } elseif (in_array($option, ['patroni_cafile', 'patroni_cert', 'sslrootcert', 'sslcert'], true) && is_file($file)) {
                Expiry::checkFile("$option=$file", $file, str_ends_with($option, 'cert') && $option !== 'sslrootcert', 'renew it, on every host that has this file', $report);
            }
        }
    }
}
