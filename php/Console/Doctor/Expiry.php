<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Text;

/**
 * How long certificates are good.
 *
 * @internal
 */
final class Expiry
{
    /** A certificate that ends within so many days is a warning. */
    private const DAYS = 14;

    /**
     * @param array<string, mixed> $certificate as openssl_x509_parse() tells it
     * @param Level                $expired     how bad it is when it has ended
     *
     * @return bool whether it lasts
     */
    public static function check(string $subject, array $certificate, Level $expired, string $advice, Report $report): bool
    {
        $ends = $certificate['validTo_time_t'] ?? null;
        if (!is_int($ends) || $ends - time() >= self::DAYS * 86400) {
            return true;
        }
        $on = gmdate('Y-m-d', $ends);
        $days = intdiv($ends - time(), 86400);
        if ($ends <= time()) {
            $report->add('tls.expiry', $expired, $subject, "the certificate has ended on $on", $advice);
        } else {
            $report->add('tls.expiry', Level::Warning, $subject, 'the certificate ends in ' . Text::count($days, 'day') . ", on $on", $advice);
        }

        return false;
    }

    /**
     * What is in a PEM file of this host.
     *
     * @param bool $isChain the first certificate counts; of authorities one that has ended does no harm while another has not
     */
    public static function checkFile(string $subject, string $file, bool $isChain, string $advice, Report $report): void
    {
        if (!extension_loaded('openssl')) {
            return;
        }
        preg_match_all('/-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/s', (string) file_get_contents($file, false, null, 0, 1 << 20), $found);
        $certificates = array_values(array_filter(array_map(openssl_x509_parse(...), $found[0])));
        if (!$isChain) {
            usort($certificates, static fn(array $a, array $b): int => $b['validTo_time_t'] <=> $a['validTo_time_t']);
        }
        if ($certificates !== []) {
            self::check($subject, $certificates[0], Level::Error, $advice, $report);
        }
    }
}
