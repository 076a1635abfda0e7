<?php

declare(strict_types=1);

namespace HaDsn\Console;

use HaDsn\Secret;
use HaDsn\Topology;

/**
 * The cluster that a command is about: its source string, found where the extension finds it, and the credentials.
 *
 * @internal
 */
final class Cluster
{
    private function __construct(
        public readonly string $name,
        public readonly Source $source,
        public readonly Origin $origin,
        /** Where it was found, in words. */
        public readonly string $place,
        private readonly ?string $givenUser,
        private readonly ?Secret $givenPassword,
    ) {}

    /**
     * Finds it, and has the extension check it, if that is loaded.
     *
     * @throws Failure                if a file can't be read, or nothing is configured
     * @throws \HaDsn\ConfigException if the source string is wrong
     */
    public static function find(Arguments $arguments): self
    {
        $name = $arguments->value('cluster') ?? 'default';
        $given = $arguments->value('source');
        if ($given !== null && Extension::isLoaded()) {
            \HaDsn::configure($given, $name);
        } elseif (Extension::isLoaded()) {
            // Says what is wrong with the name, the place or the text.
            self::check($name);
        }
        [$text, $origin, $place] = $given === null ? self::configured($name) : [$given, Origin::CommandLine, 'option --source'];
        $password = null;
        $file = $arguments->value('password-file');
        if ($file !== null) {
            $line = strtok(self::read($file), "\r\n");
            $password = new Secret($line === false ? '' : $line);
        }

        return new self($name, Source::parse($text), $origin, $place, $arguments->value('user'), $password);
    }

    /** The database role to log in as, if anybody has said it. */
    public function user(): ?string
    {
        $user = $this->givenUser ?? $this->source->user ?? getenv('PGUSER');

        return $user === false || $user === '' ? null : $user;
    }

    /** Its password; null leaves it to libpq: PGPASSWORD, its password file. */
    public function password(): ?string
    {
        if ($this->givenPassword !== null) {
            /** @var string */
            return $this->givenPassword->value();
        }

        // The source's password is that of the source's user.
        return $this->user() === $this->source->user ? $this->source->password() : null;
    }

    /**
     * Gives the extension the source string with these options in place of its own, and with the credentials: database servers
     * as a source are asked with them.
     *
     * @param array<string, string> $options
     */
    public function configure(array $options = []): void
    {
        \HaDsn::configure($this->source->with($options, $this->user(), $this->password()), $this->name);
    }

    /**
     * Why nobody leads, by the extension's judgement; null if somebody does. The source must have been given `failover_timeout=0s`:
     * it waits as long as that says.
     */
    public function whyNobodyLeads(): ?string
    {
        try {
            \HaDsn::writer($this->name);

            return null;
        } catch (\HaDsn\NoLeaderException|\HaDsn\DiscoveryException $error) {
            return (string) preg_replace('/^no leader within \S+: /', '', Text::line($error->getMessage()));
        }
    }

    /**
     * The members, as the extension sees them.
     *
     * @throws \HaDsn\DiscoveryException if no source answers
     */
    public function topology(): Topology
    {
        return Interrupt::after(fn(): Topology => \HaDsn::topology($this->name));
    }

    /**
     * What is known of it without asking.
     *
     * @return array<string, mixed>
     */
    public function status(): array
    {
        return \HaDsn::status()['clusters'][$this->name] ?? [];
    }

    /**
     * A DSN for PDO that leads to this server, whatever its role.
     *
     * @param string|null $address of a host given by name
     */
    public function dsn(Endpoint $server, ?string $address = null): string
    {
        $keywords = ['host' => $server->host] + ($address === null ? [] : ['hostaddr' => $address]) + ['port' => (string) $server->port];
        $keywords += $this->source->database === null ? [] : ['dbname' => $this->source->database];
        $dsn = [];
        foreach ($keywords + $this->source->libpq() as $keyword => $value) {
            $isPlain = preg_match('~^[A-Za-z0-9_./:@%+,-]+$~D', $value) === 1;
            $dsn[] = "$keyword=" . ($isPlain ? $value : "'" . addcslashes($value, "'\\") . "'");
        }

        return 'pgsql:' . implode(';', $dsn);
    }

    private static function check(string $name): void
    {
        $known = \HaDsn::status()['clusters'][$name] ?? null;
        if ($known === null) {
            // Says that nothing configures it, or what is wrong with the name.
            \HaDsn::invalidate($name);
        } elseif (!isset($known['source'])) {
            throw Failure::unusable(Text::line((string) $known['error']));
        }
    }

    /** @return array{string, Origin, string} */
    private static function configured(string $name): array
    {
        $suffix = $name === 'default' ? '' : '_' . strtoupper($name);
        $value = getenv("HADSN_URL$suffix");
        if ($value !== false) {
            return [$value, Origin::Environment, "environment variable HADSN_URL$suffix"];
        }
        $file = getenv("HADSN_URL{$suffix}_FILE");
        if ($file !== false) {
            if (file_exists($file) && !is_file($file)) {
                throw Failure::unusable("HADSN_URL{$suffix}_FILE: file " . Text::quoted($file) . ' can\'t be read: not a regular file');
            }

            return [self::read($file), Origin::File, $file];
        }
        $setting = $name === 'default' ? 'hadsn.url' : "hadsn.url.$name";
        $value = ini_get($setting);
        $value = $value === false ? (string) get_cfg_var($setting) : $value;
        if ($value === '') {
            throw Failure::unusable('cluster ' . Text::quoted($name) . ": no source is configured: give --source=URL, set the environment variable HADSN_URL$suffix, or $setting in php.ini");
        }

        return [$value, Origin::Ini, "$setting in php.ini"];
    }

    private static function read(string $file): string
    {
        // A pipe of the shell, <(…), which PHP finds under this name only.
        $name = preg_match('~^/(?:dev|proc/self)/(?:fd/(\d+)|stdin)$~D', $file, $found) === 1 ? 'php://fd/' . ($found[1] ?? 0) : $file;
        [$text, $reason] = Warnings::collect(static fn(): string|false => is_dir($name) ? false : file_get_contents($name, false, null, 0, 65536));

        return $text === false ? throw Failure::unreadable($file, $reason === '' ? 'is a directory' : Warnings::reason($reason)) : $text;
    }
}
