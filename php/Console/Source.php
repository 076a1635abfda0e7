<?php

declare(strict_types=1);

namespace HaDsn\Console;

use HaDsn\Secret;

/**
 * A source string in its parts, for what the command line does itself: it also works where the extension is not loaded. What the
 * options may contain the extension decides, which has accepted them before, where it is.
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

    /** In place of the addresses of a host that must not be connected to. */
    public const FORBIDDEN = 'is outside allow_hosts';

    /** @var list<string> what may be shown; anything else is a secret, or a word that may be meant as one */
    private const SHOWN = [
        'poll', 'ttl', 'max_stale', 'timeout', 'hedge', 'connect_timeout', 'failover_timeout', 'max_waiters', 'max_lag', 'reader', 'reader_fallback', 'reader_sync',
        'port', 'map', 'allow_hosts', 'nameserver', 'patroni_cafile', 'patroni_cert', 'patroni_key', 'proof', ...self::LIBPQ,
    ];

    /**
     * @param list<SourceUrl>       $urls
     * @param array<string, string> $options decoded
     */
    private function __construct(
        public readonly array $urls,
        public readonly ?string $user,
        private readonly ?Secret $password,
        public readonly ?string $database,
        #[\SensitiveParameter]
        private readonly array $options,
    ) {}

    /** @throws Failure if it is none; the extension says better what is wrong, and is asked before where it is loaded */
    public static function parse(#[\SensitiveParameter] string $text): self
    {
        $urls = [];
        foreach (preg_split('/[ \t\r\n\f]+/', $text, -1, PREG_SPLIT_NO_EMPTY) ?: [] as $i => $url) {
            $urls[] = SourceUrl::parse($url) ?? throw Failure::unusable('source ' . ($i + 1) . ': expected a URL such as patroni://10.0.0.1,10.0.0.2/app, '
                . 'with what is special in user, password and values percent-encoded; its text may hold a password and is not shown');
        }
        $first = $urls[0] ?? throw Failure::unusable('the source string is empty');
        $userinfo = explode(':', $first->userinfo ?? '', 2);
        $options = [];
        foreach (explode('&', $first->query) as $pair) {
            [$name, $value] = explode('=', $pair, 2) + [1 => ''];
            $options[$name] = rawurldecode($value);
        }
        unset($options['']);

        return new self(
            $urls,
            $first->userinfo === null ? null : rawurldecode($userinfo[0]),
            isset($userinfo[1]) ? new Secret(rawurldecode($userinfo[1])) : null,
            $first->database === '' ? null : rawurldecode($first->database),
            $options,
        );
    }

    public function hasPassword(): bool
    {
        return $this->password !== null || $this->option('patroni_password') !== null;
    }

    public function password(): ?string
    {
        /** @var string|null */
        return $this->password?->value();
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
     * @param bool $isApi a REST API: `port` does not speak of it, nor does the port of an entry that names only the host
     */
    public function route(Endpoint $announced, bool $isApi = false): Endpoint
    {
        $exact = $ofHost = null;
        foreach (explode(',', $this->option('map') ?? '') as $entry) {
            [$from, $to] = explode('=', $entry, 2) + [1 => ''];
            $from = Endpoint::parse($from, 0);
            if ($to !== '' && self::name($from->host) === self::name($announced->host)) {
                $exact = $from->port === $announced->port ? Endpoint::parse($to, 0) : $exact;
                $ofHost = $from->port === 0 ? Endpoint::parse($to, 0) : $ofHost;
            }
        }
        // An entry with a port goes before one without.
        $found = $exact ?? $ofHost;
        $mapped = $isApi ? $exact : $found;
        $usual = $isApi ? $announced->port : (int) ($this->option('port') ?? $announced->port);

        return new Endpoint($found->host ?? $announced->host, ($mapped->port ?? 0) ?: $usual);
    }

    /**
     * Those that `allow_hosts` lets be connected to keep their addresses.
     *
     * @param array<string, list<string>|string> $addresses of hosts, as {@see Net\Names} finds them
     *
     * @return array<string, list<string>|string>
     */
    public function permitted(array $addresses): array
    {
        foreach ($addresses as $host => $found) {
            if (is_array($found) && !$this->allows((string) $host, $found[0])) {
                $addresses[$host] = self::FORBIDDEN;
            }
        }

        return $addresses;
    }

    /** By its name or its address. */
    private function allows(string $host, string $ip): bool
    {
        $allowed = $this->option('allow_hosts');
        if ($allowed === null) {
            return true;
        }
        $name = self::name($host);
        foreach (explode(',', $allowed) as $entry) {
            $entry = self::name($entry);
            [$network, $length] = explode('/', $entry, 2) + [1 => null];
            if (Endpoint::isAddress($network)) {
                if (self::isWithin($ip, $network, $length === null ? null : (int) $length)) {
                    return true;
                }
            } elseif ($entry === $name || str_starts_with($entry, '.') && str_ends_with($name, $entry) && $name !== $entry) {
                return true;
            }
        }

        return false;
    }

    /** Names do not depend on case or on the dot at the end (RFC 4343). */
    private static function name(string $host): string
    {
        return strtolower(rtrim($host, '.'));
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
        return Text::safe($this->written(array_intersect_key($this->options, array_flip(self::SHOWN)), '', $this->urls));
    }

    /**
     * The source string with other options, and with these database credentials.
     *
     * @param array<string, string> $options
     */
    public function with(array $options = [], ?string $user = null, #[\SensitiveParameter] ?string $password = null): string
    {
        $userinfo = $user === null ? '' : rawurlencode($user) . ($password === null ? '' : ':' . rawurlencode($password)) . '@';

        return $this->written($options + $this->options, $userinfo, $this->urls);
    }

    /** This source string, with one endpoint in place of all the hosts. */
    public function only(string $scheme, Endpoint $endpoint): string
    {
        return $this->written($this->options, '', array_values(array_filter([SourceUrl::parse("$scheme://$endpoint")])));
    }

    /**
     * @param array<string, string> $options
     * @param list<SourceUrl>       $urls
     */
    private function written(#[\SensitiveParameter] array $options, #[\SensitiveParameter] string $userinfo, array $urls): string
    {
        $query = [];
        foreach ($options as $name => $value) {
            $query[] = "$name=" . strtr(rawurlencode($value), ['%2F' => '/', '%3A' => ':', '%2C' => ',', '%3D' => '=']);
        }
        $path = $this->database === null ? '' : '/' . rawurlencode($this->database);
        $texts = array_map(static fn(SourceUrl $url): string => "$url->scheme://$url->hosts", $urls);
        $first = $urls[0];
        $texts[0] = "$first->scheme://$userinfo$first->hosts$path" . ($query === [] ? '' : '?' . implode('&', $query));

        return implode(' ', $texts);
    }
}
