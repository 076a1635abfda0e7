<?php

declare(strict_types=1);

namespace HaDsn\Console\Net;

use HaDsn\Console\Endpoint;

/**
 * SRV records (RFC 2782), asked of a name server of one's choice, which PHP's own functions do not offer (RFC 1035, RFC 6891).
 *
 * @internal
 */
final class Dns
{
    private const SRV = 33;
    private const TRUNCATED = 0x0200;
    private const RCODES = [1 => 'FORMERR', 2 => 'SERVFAIL', 3 => 'NXDOMAIN: there is no such name', 4 => 'NOTIMP', 5 => 'REFUSED'];

    /** Behind so many pointers a name is a trap. */
    private const MOST_LABELS = 128;

    /**
     * @param list<Endpoint> $targets
     * @param string|null    $error   why there are none
     */
    private function __construct(public readonly array $targets, public readonly ?string $error) {}

    /**
     * The name servers of this host.
     *
     * @return list<Endpoint>
     */
    public static function servers(string $file = '/etc/resolv.conf'): array
    {
        $text = is_readable($file) ? (string) file_get_contents($file) : '';
        preg_match_all('/^nameserver\s+([0-9A-Fa-f.:]+)/m', $text, $found);

        return array_map(static fn(string $ip): Endpoint => new Endpoint($ip, 53), array_values(array_slice($found[1], 0, 3)));
    }

    /**
     * Asks all the servers for all the names at once; the first good answer counts.
     *
     * @param list<string>   $names
     * @param list<Endpoint> $servers with addresses
     *
     * @return array<string, self>
     */
    public static function look(array $names, array $servers, float $timeout): array
    {
        $udp = $tcp = $results = [];
        foreach ($names as $name) {
            foreach ($servers as $i => $server) {
                $query = self::query($name);
                $isAnswer = static fn(string $answer): bool => strlen($answer) >= 12 && substr($answer, 0, 2) === substr($query, 0, 2);
                $udp["$i $name"] = new Exchange('udp', $server->host, $server->port, $query, $isAnswer, null, $timeout);
                $isWhole = static fn(string $answer): bool => strlen($answer) >= 2 && strlen($answer) >= unpack('n', $answer)[1] + 2;
                $tcp["$i $name"] = new Exchange('tcp', $server->host, $server->port, pack('n', strlen($query)) . $query, $isWhole, null, $timeout);
            }
        }
        Exchanges::run($udp);
        $tcp = array_intersect_key($tcp, array_filter($udp, static fn(Exchange $one): bool => $one->error === null && (unpack('n', $one->answer, 2)[1] & self::TRUNCATED) !== 0));
        Exchanges::run($tcp);
        foreach ($names as $name) {
            foreach (array_keys($servers) as $i) {
                $exchange = $tcp["$i $name"] ?? $udp["$i $name"];
                $answer = isset($tcp["$i $name"]) ? substr($exchange->answer, 2) : $exchange->answer;
                [$targets, $error] = $exchange->error === null ? self::parse($answer) : [[], $exchange->error];
                if (!isset($results[$name]) || $results[$name]->error !== null && $error === null) {
                    $results[$name] = new self($targets, $error);
                }
            }
        }

        return $results;
    }

    private static function query(string $name): string
    {
        $labels = '';
        foreach (explode('.', rtrim($name, '.')) as $label) {
            $labels .= chr(strlen($label) & 63) . $label;
        }

        // Recursion desired; one question; one additional record: EDNS with 4096 bytes.
        return random_bytes(2) . pack('n5', 0x0100, 1, 0, 0, 1) . "$labels\0" . pack('n2', self::SRV, 1) . "\0" . pack('nnNn', 41, 4096, 0, 0);
    }

    /** @return array{list<Endpoint>, string|null} */
    private static function parse(string $message): array
    {
        if (strlen($message) < 12) {
            return [[], 'the answer is too short'];
        }
        [$flags, $questions, $answers] = self::numbers('nflags/nquestions/nanswers', $message, 2);
        $code = $flags & 15;
        if ($code !== 0) {
            return [[], self::RCODES[$code] ?? "rcode $code"];
        }
        $at = 12;
        $targets = [];
        for ($i = 0; $i < $questions; ++$i) {
            self::name($message, $at);
            $at += 4;
        }
        for ($i = 0; $i < $answers; ++$i) {
            self::name($message, $at);
            if ($at + 10 > strlen($message)) {
                return [$targets, 'the answer is cut off'];
            }
            [$type, , , $length] = self::numbers('ntype/nclass/Nttl/nlength', $message, $at);
            $at += 10;
            $end = $at + $length;
            if ($type === self::SRV && $length >= 7 && $end <= strlen($message)) {
                // Priority and weight come before the port.
                $port = unpack('n', $message, $at + 4)[1];
                $at += 6;
                $targets[] = new Endpoint(self::name($message, $at), $port);
            }
            $at = $end;
        }

        return [$targets, $targets === [] ? 'the name has no SRV records' : null];
    }

    /**
     * What unpack() finds, in its order. There have to be as many bytes.
     *
     * @return list<int>
     */
    private static function numbers(string $format, string $message, int $at): array
    {
        /** @var array<string, int> $numbers */
        $numbers = unpack($format, $message, $at);

        return array_values($numbers);
    }

    /** Reads a name, and moves behind it. */
    private static function name(string $message, int &$at): string
    {
        $labels = [];
        $position = $at;
        $end = null;
        for ($i = 0; $i < self::MOST_LABELS && $position < strlen($message); ++$i) {
            $length = ord($message[$position]);
            if ($length >= 0xC0 && $position + 1 < strlen($message)) {
                $end ??= $position + 2;
                $position = (($length & 0x3F) << 8) | ord($message[$position + 1]);
                continue;
            }
            ++$position;
            if ($length === 0) {
                break;
            }
            $labels[] = substr($message, $position, $length);
            $position += $length;
        }
        $at = $end ?? $position;

        return implode('.', $labels);
    }
}
