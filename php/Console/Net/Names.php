<?php

declare(strict_types=1);

namespace HaDsn\Console\Net;

use HaDsn\Console\Endpoint;

/**
 * Host names to addresses, under a deadline that PHP's own functions do not know.
 *
 * @internal
 */
final class Names
{
    private const LOOK_UP = <<<'PHP'
        $name = json_decode(stream_get_contents(STDIN));
        $found = [];
        if (function_exists('socket_addrinfo_lookup')) {
            foreach (socket_addrinfo_lookup($name, null, ['ai_socktype' => SOCK_STREAM]) ?: [] as $one) {
                $address = socket_addrinfo_explain($one)['ai_addr'];
                $found[] = $address['sin_addr'] ?? $address['sin6_addr'];
            }
        } else {
            $found = gethostbynamel($name) ?: [];
        }
        echo json_encode(array_values(array_unique($found)));
        PHP;

    /** More addresses of one name are not tried. */
    private const MOST = 4;

    /**
     * The addresses of each host; none if it has none, or if nobody said so in time.
     *
     * @param list<string> $hosts names, and addresses, which stay what they are
     *
     * @return array<string, list<string>>
     */
    public static function resolve(array $hosts, float $timeout): array
    {
        $resolved = $names = [];
        foreach ($hosts as $host) {
            if (Endpoint::isAddress($host)) {
                $resolved[$host] = [$host];
            } else {
                $names[$host] = $host;
            }
        }
        foreach (Children::run(self::LOOK_UP, $names, $timeout) as $host => $list) {
            $resolved[$host] = is_array($list) ? array_slice(array_values(array_filter($list, is_string(...))), 0, self::MOST) : [];
        }

        return $resolved;
    }
}
