<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * A host and a port.
 *
 * @internal
 */
final class Endpoint
{
    /** @param string $host an address, IPv6 without brackets, or a name */
    public function __construct(public readonly string $host, public readonly int $port) {}

    /** `host`, `host:port`, `[ipv6]` or `[ipv6]:port`. The extension has checked it. */
    public static function parse(string $text, int $defaultPort): self
    {
        if (preg_match('/^\[([^\]]*)\](?::([0-9]{1,5}))?$/D', $text, $found) !== 1) {
            $found = [$text, ...explode(':', $text, 2)];
        }

        return new self($found[1], (int) ($found[2] ?? $defaultPort));
    }

    /** Whether the host is an address, which needs no look-up. */
    public static function isAddress(string $host): bool
    {
        return filter_var($host, FILTER_VALIDATE_IP) !== false;
    }

    public function __toString(): string
    {
        return Text::safe(str_contains($this->host, ':') ? "[$this->host]" : $this->host) . ":$this->port";
    }
}
