<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * A source string in its parts, for what the command line does itself. What it may contain the extension decides, which has
 * accepted it before.
 *
 * @internal
 */
final class Source
{
    /** What bounds a dead peer where the source does not say it. */
    private const LIBPQ_DEFAULTS = ['tcp_user_timeout' => '5000', 'keepalives_idle' => '10', 'keepalives_interval' => '3', 'keepalives_count' => '3'];

    private const LIBPQ = [
        'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslcrl', 'require_auth', 'channel_binding', 'passfile', 'application_name', 'options',
        'client_encoding', 'gssencmode', 'tcp_user_timeout', 'keepalives_idle', 'keepalives_interval', 'keepalives_count',
    ];

    private const SECRET = ['patroni_user', 'patroni_password'];

    /**
     * @param list<SourceUrl>       $urls
     * @param array<string, string> $options decoded
     * @param list<string>          $raw     the URLs as they stand there
     */
    private function __construct(
        public readonly array $urls,
        public readonly ?string $user,
        private readonly ?\SensitiveParameterValue $password,
        public readonly ?string $database,
        #[\SensitiveParameter]
        private readonly array $options,
        #[\SensitiveParameter]
        private readonly array $raw,
    ) {}

    public static function parse(#[\SensitiveParameter] string $text): self
    {
        $urls = [];
        $user = $password = $database = null;
        $options = [];
        $raw = preg_split('/[ \t\r\n\f]+/', $text, -1, PREG_SPLIT_NO_EMPTY) ?: [];
        foreach ($raw as $i => $url) {
            [$scheme, $rest] = explode('://', $url, 2) + ['', ''];
            [$address, $query] = explode('?', $rest, 2) + [1 => ''];
            [$authority, $path] = explode('/', $address, 2) + [1 => ''];
            $at = strrpos($authority, '@');
            if ($i === 0) {
                if ($at !== false) {
                    $userinfo = explode(':', substr($authority, 0, $at), 2);
                    $user = rawurldecode($userinfo[0]);
                    $password = isset($userinfo[1]) ? new \SensitiveParameterValue(rawurldecode($userinfo[1])) : null;
                }
                $database = $path === '' ? null : rawurldecode($path);
                foreach (explode('&', $query) as $pair) {
                    [$name, $value] = explode('=', $pair, 2) + [1 => ''];
                    $options[$name] = rawurldecode($value);
                }
                unset($options['']);
            }
            $urls[] = SourceUrl::parse($scheme, $at === false ? $authority : substr($authority, $at + 1));
        }

        return new self($urls, $user, $password, $database, $options, array_values($raw));
    }

    public function hasPassword(): bool
    {
        return $this->password !== null || $this->option('patroni_password') !== null;
    }

    public function password(): ?string
    {
        return $this->password?->getValue();
    }

    public function option(string $name): ?string
    {
        return $this->options[$name] ?? null;
    }

    /** A duration, in seconds. */
    public function seconds(string $name, float $default): float
    {
        return Text::parseDuration($this->options[$name] ?? '') ?? $default;
    }

    /** A size, in bytes; null without the option. */
    public function bytes(string $name): ?int
    {
        if (preg_match('/^([0-9]+)(|B|[kKMGT]B|[KMGT]iB)$/D', $this->options[$name] ?? '', $found) !== 1) {
            return null;
        }
        $power = (int) strpos('BKMGT', strtoupper($found[2] === '' ? 'B' : $found[2][0]));

        return (int) $found[1] * (str_contains($found[2], 'i') ? 1024 : 1000) ** $power;
    }

    /** Whether any source speaks to Patroni by HTTP, or by HTTPS. */
    public function asksPatroni(bool $isTls): bool
    {
        foreach ($this->urls as $url) {
            if ($url->isPatroni() && $url->isTls() === $isTls) {
                return true;
            }
        }

        return false;
    }

    /**
     * Where an announced address is reached, through `map` and `port`.
     *
     * @param bool $isApi a REST API, which `port` does not speak of
     */
    public function route(Endpoint $announced, bool $isApi = false): Endpoint
    {
        $port = $isApi ? null : $this->option('port');
        $found = null;
        foreach (explode(',', $this->option('map') ?? '') as $entry) {
            [$from, $to] = explode('=', $entry, 2) + [1 => ''];
            $from = Endpoint::parse($from, 0);
            // An entry with a port goes before one without.
            if ($to !== '' && strcasecmp($from->host, $announced->host) === 0 && ($from->port === $announced->port || $from->port === 0 && $found === null)) {
                $found = Endpoint::parse($to, 0);
                if ($from->port !== 0) {
                    break;
                }
            }
        }
        $mapped = $found === null || $found->port === 0 ? null : $found->port;

        return new Endpoint($found->host ?? $announced->host, $mapped ?? (int) ($port ?? $announced->port));
    }

    /** Whether `allow_hosts` lets a host be connected to, by its name or its address. */
    public function allows(string $host, ?string $ip): bool
    {
        $allowed = $this->option('allow_hosts');
        if ($allowed === null) {
            return true;
        }
        $name = strtolower(rtrim($host, '.'));
        foreach (explode(',', $allowed) as $entry) {
            $entry = strtolower(rtrim($entry, '.'));
            [$network, $length] = explode('/', $entry, 2) + [1 => null];
            if (Endpoint::isAddress($network)) {
                if ($ip !== null && self::isWithin($ip, $network, $length === null ? null : (int) $length)) {
                    return true;
                }
            } elseif ($entry === $name || str_starts_with($entry, '.') && str_ends_with($name, $entry) && $name !== $entry) {
                return true;
            }
        }

        return false;
    }

    private static function isWithin(string $ip, string $network, ?int $length): bool
    {
        [$a, $b] = [(string) inet_pton($ip), (string) inet_pton($network)];
        $length ??= 8 * strlen($b);
        if (strlen($a) !== strlen($b)) {
            return false;
        }
        $bytes = intdiv($length, 8);
        $mask = 0xFF00 >> $length % 8 & 0xFF;

        return strncmp($a, $b, $bytes) === 0 && ($mask === 0 || (ord($a[$bytes]) & $mask) === (ord($b[$bytes]) & $mask));
    }

    /**
     * What libpq is told of a connection, in the order of hadsn's own DSNs.
     *
     * @return array<string, string>
     */
    public function libpq(): array
    {
        $keywords = [];
        foreach (self::LIBPQ as $keyword) {
            $value = $this->option($keyword) ?? self::LIBPQ_DEFAULTS[$keyword] ?? null;
            if ($value !== null) {
                $keywords[$keyword] = $value;
            }
        }

        return $keywords;
    }

    /** The source string without credentials. */
    public function display(): string
    {
        return Text::safe($this->written(array_diff_key($this->options, array_flip(self::SECRET)), '', $this->raw));
    }

    /**
     * The source string with other options, and with these database credentials.
     *
     * @param array<string, string> $options
     */
    public function with(array $options = [], ?string $user = null, #[\SensitiveParameter] ?string $password = null): string
    {
        $userinfo = $user === null ? '' : rawurlencode($user) . ($password === null ? '' : ':' . rawurlencode($password)) . '@';

        return $this->written($options + $this->options, $userinfo, $this->raw);
    }

    /** This source string, with one endpoint in place of all the hosts. */
    public function only(string $scheme, string $endpoint): string
    {
        return $this->written($this->options, '', ["$scheme://$endpoint/"]);
    }

    /**
     * @param array<string, string> $options
     * @param list<string>          $urls
     */
    private function written(#[\SensitiveParameter] array $options, #[\SensitiveParameter] string $userinfo, #[\SensitiveParameter] array $urls): string
    {
        foreach ($urls as $i => $url) {
            [$scheme, $rest] = explode('://', $url, 2) + ['', ''];
            $hosts = preg_split('~[/?]~', $rest)[0];
            $hosts = substr($hosts, (int) strrpos("@$hosts", '@'));
            if ($i === 0) {
                $query = implode('&', array_map(
                    static fn(string $name, string $value): string => "$name=" . strtr(rawurlencode($value), ['%2F' => '/', '%3A' => ':', '%2C' => ',', '%3D' => '=']),
                    array_keys($options),
                    $options,
                ));
                $path = $this->database === null ? '' : '/' . rawurlencode($this->database);
                $urls[$i] = "$scheme://$userinfo$hosts$path" . ($query === '' ? '' : "?$query");
            } else {
                $urls[$i] = "$scheme://$hosts";
            }
        }

        return implode(' ', $urls);
    }
}
