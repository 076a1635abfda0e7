<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Cluster;
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
        $report->ok('configuration.extension', 'extension hadsn', (string) phpversion('hadsn') . ', PHP ' . PHP_VERSION . ', ' . PHP_SAPI);
        if (!extension_loaded('pdo_pgsql')) {
            $report->add(
                'configuration.driver',
                Level::Error,
                'extension pdo_pgsql',
                'not loaded',
                'install it (on Debian: php-pgsql) and load it: HaDsn::connect() and the DSNs need PDO\'s PostgreSQL driver',
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
        } elseif ($cluster->origin === Origin::File && (fileperms($cluster->place) & 0007) !== 0) {
            $report->add(
                'configuration.secret',
                Level::Warning,
                $cluster->place,
                'holds a password, and everybody on this machine may read it',
                'chmod o= the file, and give it to the group of the PHP processes',
            );
        }
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
        foreach (['sslrootcert', 'sslcert', 'sslkey', 'sslcrl', 'passfile'] as $option) {
            $file = $source->option($option);
            if ($file !== null && $file !== 'system' && !is_readable($file)) {
                $report->add(
                    'tls.file',
                    Level::Error,
                    "$option=$file",
                    'can\'t be read',
                    'name a file that this user, and the user of the PHP processes, can read',
                );
            }
        }
    }
}
