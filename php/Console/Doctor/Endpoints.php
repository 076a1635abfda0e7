<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;
use HaDsn\Console\Net\Exchange;
use HaDsn\Console\Net\Exchanges;
use HaDsn\Console\Net\Http;
use HaDsn\Console\Net\Names;
use HaDsn\Console\Source;
use HaDsn\Console\SourceUrl;
use HaDsn\Console\Text;

/**
 * Every REST API of a source: whether it answers, how quickly, and with what certificate.
 *
 * @internal
 */
final class Endpoints
{
    /** A certificate that ends within so many days is a warning. */
    private const DAYS = 14;

    private const PATHS = ['/cluster', '/patroni'];

    /** @var list<Api> */
    private array $apis = [];

    private int $dead = 0;

    public function __construct(private readonly Source $source, private readonly Report $report, private readonly Clocks $clocks, private readonly float $timeout) {}

    /**
     * Asks all of them at the same time.
     *
     * @param list<Endpoint> $endpoints
     *
     * @return list<Api> those that answered well
     */
    public function check(SourceUrl $url, array $endpoints): array
    {
        $this->apis = [];
        $this->dead = 0;
        $addresses = Names::resolve(array_map(static fn(Endpoint $one): string => $one->host, $endpoints), $this->timeout);
        $exchanges = [];
        foreach ($endpoints as $i => $endpoint) {
            foreach ($addresses[$endpoint->host] as $j => $ip) {
                foreach (self::PATHS as $path) {
                    $exchanges["$i$path/$j"] = Http::get($endpoint, $ip, $path, $this->authorization(), self::tls($this->source, $url), $this->timeout);
                }
            }
        }
        Exchanges::run($exchanges);
        foreach ($endpoints as $i => $endpoint) {
            $best = null;
            foreach (array_keys($addresses[$endpoint->host]) as $j) {
                $pair = array_map(static fn(string $path): Exchange => $exchanges["$i$path/$j"], self::PATHS);
                $best = $best === null || $best[0]->error !== null && $pair[0]->error === null ? $pair : $best;
            }
            if ($best === null) {
                ++$this->dead;
                $this->report->add(
                    'endpoint.unresolved',
                    Level::Warning,
                    (string) $endpoint,
                    'the name has no address',
                    'mend the name in the source string, in DNS or in /etc/hosts',
                );
            } else {
                $this->judge($url, $endpoint, ...$best);
            }
        }
        if ($this->apis === [] && $endpoints !== []) {
            $this->report->add(
                'endpoint.none',
                Level::Error,
                $url->scheme,
                'no endpoint gave a usable answer',
                'see to the endpoints above: without one of them hadsn knows of no failover',
            );
        }

        return $this->apis;
    }

    /**
     * How TLS is spoken to the endpoints of a source.
     *
     * @return array<string, mixed>|null
     */
    public static function tls(Source $source, SourceUrl $url): ?array
    {
        if (!$url->isTls()) {
            return null;
        }

        return array_filter([
            'verify_peer' => true,
            'verify_peer_name' => true,
            'cafile' => $source->option('patroni_cafile'),
            'local_cert' => $source->option('patroni_cert'),
            'local_pk' => $source->option('patroni_key'),
        ], static fn(mixed $value): bool => $value !== null);
    }

    private function authorization(): ?string
    {
        $user = $this->source->option('patroni_user');

        return $user === null ? null : "$user:" . $this->source->option('patroni_password');
    }

    private function judge(SourceUrl $url, Endpoint $endpoint, Exchange $cluster, Exchange $own): void
    {
        $subject = (string) $endpoint;
        if ($cluster->error !== null) {
            if ($cluster->isTlsError) {
                $this->judgeTls($url, $endpoint, $cluster->error);

                return;
            }
            ++$this->dead;
            [$id, $advice] = $cluster->isConnected
                ? ['endpoint.silent', 'look at Patroni\'s log there: it hangs, or its DCS does; or something else listens on this port, or it speaks ' . ($url->isTls() ? 'no TLS (patroni://)' : 'TLS (patroni+https://)')]
                : ['endpoint.unreachable', 'start Patroni there, or see to its restapi.listen, to the firewall and to the port in the source string'];
            $this->report->add($id, Level::Warning, $subject, $cluster->error, $advice);

            return;
        }
        $answer = Http::parse($cluster->answer);
        if ($answer === null) {
            $this->report->add(
                'endpoint.nonsense',
                Level::Warning,
                $subject,
                'the answer is not HTTP: ' . Text::quoted(substr($cluster->answer, 0, 40)),
                'name the port of Patroni\'s REST API (restapi.listen, usually 8008)' . ($url->isTls() ? '' : '; if it speaks TLS, write patroni+https://'),
            );

            return;
        }
        $this->clocks->heard($subject, $answer->headers['date'] ?? null, $cluster->startedAt, $cluster->seconds);
        $json = $answer->json();
        if (in_array($answer->status, [401, 403], true)) {
            $this->report->add(
                'endpoint.auth',
                Level::Error,
                $subject,
                "answers $answer->status: it asks for a password" . ($this->authorization() === null ? '' : ', and does not take the one in the source string'),
                'set the options patroni_user and patroni_password to what the API, or the proxy before it, wants',
            );
        } elseif ($answer->status !== 200) {
            $this->report->add(
                'endpoint.status',
                Level::Warning,
                $subject,
                "answers $answer->status to GET /cluster",
                'expected is 200: this is not Patroni\'s REST API, is older than 2.0, or has no view of its DCS',
            );
        } elseif ($json === null || !is_array($json['members'] ?? null)) {
            $this->report->add(
                'endpoint.nonsense',
                Level::Warning,
                $subject,
                'the answer to GET /cluster is not a description of a cluster',
                'name the port of Patroni\'s REST API (restapi.listen, usually 8008), or see what stands before it',
            );
        } else {
            $api = $this->apis[] = new Api($endpoint, $json, $own->error === null ? Http::parse($own->answer)?->json() : null);
            $this->judgeAnswer($api, $cluster, $answer);
        }
    }

    private function judgeAnswer(Api $api, Exchange $exchange, Http $answer): void
    {
        $subject = (string) $api->endpoint;
        $took = Text::duration($exchange->seconds);
        $what = implode(', ', array_filter([
            "answers in $took",
            $api->name() === null ? null : 'member ' . $api->name(),
            $api->scope() === null ? null : 'scope ' . $api->scope(),
            $api->version() === null ? null : 'Patroni ' . $api->version(),
        ]));
        $hedge = $this->source->seconds('hedge', 0.1);
        if ($exchange->seconds > max($hedge, 0.05)) {
            $this->report->add(
                'endpoint.slow',
                Level::Warning,
                $subject,
                $what,
                'hadsn asks all the others too after ' . Text::duration($hedge) . ' (option hedge): see what keeps that machine, or its DCS, busy',
            );
        } else {
            $this->report->ok('endpoint.answers', $subject, $what);
        }
        $seen = $api->dcsLastSeen();
        $now = strtotime($answer->headers['date'] ?? '');
        if ($seen !== null && $now !== false && $now - $seen > 60) {
            $this->report->add(
                'endpoint.dcs',
                Level::Warning,
                $subject,
                'has not reached its DCS for ' . Text::duration((float) ($now - $seen)),
                'see to etcd (or Consul, ZooKeeper) and the way there: without it a leader steps down',
            );
        }
        $ends = $exchange->certificate['validTo_time_t'] ?? null;
        if (is_int($ends)) {
            $days = (int) floor(($ends - time()) / 86400);
            if ($days < self::DAYS) {
                $this->report->add(
                    'tls.expiry',
                    Level::Warning,
                    $subject,
                    'the certificate ends in ' . Text::count($days, 'day') . ', on ' . gmdate('Y-m-d', $ends),
                    'renew it (Patroni: restapi.certfile, then patronictl reload)',
                );
            } else {
                $this->report->ok('tls.certificate', $subject, 'verified, good until ' . gmdate('Y-m-d', $ends));
            }
        }
    }

    /** The extension has the last word on a certificate, and says best what is wrong with it. */
    private function judgeTls(SourceUrl $url, Endpoint $endpoint, string $reason): void
    {
        $scheme = str_replace('+srv', '', $url->scheme);
        try {
            \HaDsn::configure($this->source->only($scheme, (string) $endpoint), 'hadsn_doctor');
            \HaDsn::topology('hadsn_doctor');
            $this->report->ok('tls.certificate', (string) $endpoint, 'the extension accepts the certificate');

            return;
        } catch (\HaDsn\Exception $error) {
            $said = Text::line($error->getMessage());
            $at = strpos($said, 'TLS: ');
            $reason = $at === false ? $reason : substr($said, $at);
        }
        ++$this->dead;
        $this->report->add(
            'tls.endpoint',
            Level::Error,
            (string) $endpoint,
            $reason,
            'name the CA that signed the certificate in patroni_cafile, and the host as the certificate does; renew one that has expired; where a client certificate is asked for: patroni_cert and patroni_key',
        );
    }
}
