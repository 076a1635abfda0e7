<?php

declare(strict_types=1);

namespace HaDsn\Console\Net;

use HaDsn\Console\Endpoint;
use HaDsn\Console\Failure;
use HaDsn\Console\Interrupt;
use HaDsn\Console\Text;

/**
 * Host names to addresses, under a deadline that PHP's own functions do not know.
 *
 * @internal
 */
final class Names
{
    /** For each name of a list one line: its addresses, or what the resolver says (gai_strerror(3)), which PHP tells in a warning only. */
    private const LOOK_UP = <<<'PHP'
        foreach (json_decode(stream_get_contents(STDIN)) as $name) {
            $found = [];
            if (function_exists('socket_addrinfo_lookup')) {
                foreach (socket_addrinfo_lookup($name, null, ['ai_socktype' => SOCK_STREAM]) ?: [] as $one) {
                    $address = socket_addrinfo_explain($one)['ai_addr'];
                    $found[] = $address['sin_addr'] ?? $address['sin6_addr'];
                }
            } else {
                $found = gethostbynamel($name) ?: [];
            }
            $reason = null;
            if ($found === []) {
                stream_socket_client("udp://$name:9", $code, $said);
                $reason = (string) preg_replace('/^.*getaddrinfo.* failed: /s', '', (string) $said);
            }
            echo json_encode([$name, array_values(array_unique($found)), $reason], JSON_INVALID_UTF8_SUBSTITUTE), "\n";
        }
        PHP;

    /** So many processes look up names; more names share them. */
    private const PROCESSES = 16;

    /** More addresses of one name are not tried. */
    private const MOST = 4;

    /**
     * The addresses of each host, or why there are none.
     *
     * @param list<string> $hosts names, and addresses, which stay what they are
     *
     * @return array<string, list<string>|string>
     */
    public static function resolve(array $hosts, float $timeout): array
    {
        $resolved = $shares = [];
        foreach (array_values(array_unique($hosts)) as $i => $host) {
            $resolved[$host] = Endpoint::isAddress($host) ? [$host] : 'nobody could say its address within ' . Text::duration($timeout);
            if (!Endpoint::isAddress($host)) {
                $shares[$i % self::PROCESSES][] = $host;
            }
        }
        try {
            $lines = array_merge(...Children::run(self::LOOK_UP, $shares, $timeout));
        } catch (Failure $failure) {
            Interrupt::check();

            return array_map(static fn(array|string $found): array|string => is_array($found) ? $found : $failure->getMessage(), $resolved);
        }
        foreach ($lines as $line) {
            [$host, $addresses, $reason] = is_array($line) ? $line + ['', [], ''] : ['', [], ''];
            if (isset($resolved[$host])) {
                $resolved[$host] = is_array($addresses) && $addresses !== []
                    ? array_slice(array_values(array_filter($addresses, is_string(...))), 0, self::MOST)
                    : 'the name has no address' . ($reason === '' ? '' : ' (' . lcfirst(Text::line((string) $reason)) . ')');
            }
        }

        return $resolved;
    }
}
