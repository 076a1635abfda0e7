<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;
use HaDsn\Member;
use HaDsn\Topology;

/**
 * What is said of a member before anybody has looked: by the extension, by Patroni where the extension says nothing, or by the source
 * string alone.
 *
 * @internal
 */
final class Announcement
{
    private function __construct(
        public readonly string $name,
        /** Patroni's words; null if nobody has said it. */
        public readonly ?string $role,
        public readonly ?string $state,
        /** In bytes; null if unknown. */
        public readonly ?int $lag,
        /** Tagged `noloadbalance`: not read from. */
        public readonly bool $isExcluded,
        public readonly ?string $apiUrl,
        public readonly Endpoint $address,
    ) {}

    /** Whether it is said to take writes. */
    public function isLeader(): bool
    {
        return in_array($this->role, ['leader', 'master'], true);
    }

    /** @return list<self> */
    public static function ofTopology(Topology $topology): array
    {
        return array_map(static fn(Member $member): self => new self(
            $member->name,
            $member->role,
            $member->state,
            $member->lag,
            ($member->tags['noloadbalance'] ?? false) === true,
            $member->apiUrl,
            new Endpoint($member->host, $member->port),
        ), $topology->members);
    }

    /** @return list<self> those with an address */
    public static function ofApi(Api $api): array
    {
        $list = [];
        foreach ($api->members() as $member) {
            [$name, $host, $port, $url] = [$member['name'] ?? null, $member['host'] ?? null, $member['port'] ?? 5432, $member['api_url'] ?? null];
            if (!is_string($name) || !is_string($host) || preg_match('/^[\w.:-]+$/D', $host) !== 1 || !is_int($port) || $port < 1 || $port > 65535) {
                continue;
            }
            $list[] = new self(
                $name,
                is_string($member['role'] ?? null) ? $member['role'] : null,
                is_string($member['state'] ?? null) ? $member['state'] : null,
                is_int($member['lag'] ?? null) ? $member['lag'] : null,
                ($member['tags']['noloadbalance'] ?? false) === true,
                is_string($url) ? $url : null,
                new Endpoint($host, $port),
            );
        }

        return $list;
    }

    /** A database server that is listed as a source. */
    public static function ofHost(Endpoint $host): self
    {
        return new self((string) $host, null, null, null, false, null, $host);
    }
}
