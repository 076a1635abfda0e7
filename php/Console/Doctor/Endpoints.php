<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Endpoint;
use HaDsn\Console\Extension;
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
    /** So much time the extension gets for its opinions on certificates, in seconds, all together. */
    private const OPINIONS = 2.0;

    private const DCS = 'see to etcd (or Consul, ZooKeeper) and the way there: without it a leader steps down, and nobody takes over';

    private const PATHS = ['/cluster', '/patroni'];

    private float $spentOnOpinions = 0.0;

    /** How many endpoints only the extension can speak to, for PHP's TLS refuses what it accepts. */
    private int $accepted = 0;

    public function __construct(private readonly Source $source, private readonly Report $report, private readonly Clocks $clocks, private readonly float $timeout) {}

    /**
     * Asks all of them at the same time.
     *
     * @param list<SourceUrl>      $urls
     * @param list<list<Endpoint>> $hosts of each; those that are no Patroni's are left alone
     *
     * @return list<list<Api>> for each URL those that answered well
     */
    public function check(array $urls, array $hosts): array
    {
        $hosts = array_map(static fn(SourceUrl $url, array $list): array => $url->isPatroni() ? $list : [], $urls, $hosts);
        $addresses = Names::resolve(array_column(array_merge(...$hosts), 'host'), $this->timeout);
        $exchanges = [];
        foreach ($hosts as $u => $endpoints) {
            foreach ($endpoints as $i => $endpoint) {
                foreach (is_array($addresses[$endpoint->host]) ? $addresses[$endpoint->host] : [] as $ip) {
                    foreach (self::PATHS as $path) {
                        $exchanges["$u $i $ip $path"] = Http::get($endpoint, $ip, $path, $this->authorization(), self::tls($this->source, $urls[$u]->isTls()), $this->timeout);
                    }
                }
            }
        }
        Exchanges::run($exchanges);
        $apis = [];
        foreach ($hosts as $u => $endpoints) {
            $apis[$u] = [];
            $this->accepted = 0;
            foreach ($endpoints as $i => $endpoint) {
                $found = $addresses[$endpoint->host];
                if (is_string($found)) {
                    $this->report->add('endpoint.unresolved', Level::Warning, (string) $endpoint, $found, 'mend the name in the source string, in DNS or in /etc/hosts; see whether DNS answers at all: getent hosts NAME');
                    continue;
                }
                $pairs = array_map(static fn(string $ip): array => array_map(static fn(string $path): Exchange => $exchanges["$u $i $ip $path"], self::PATHS), $found);
                $good = array_filter($pairs, static fn(array $pair): bool => $pair[0]->error === null);
                array_push($apis[$u], ...$this->judge($urls[$u], $endpoint, ...(array_values($good)[0] ?? $pairs[0])));
            }
            if ($apis[$u] === [] && $endpoints !== [] && $this->accepted === 0) {
                $this->report->add(
                    'endpoint.none',
                    Level::Error,
                    "{$urls[$u]->scheme}://{$urls[$u]->hosts}",
                    'no endpoint gave a usable answer',
                    'see to the endpoints above: without one of them hadsn knows of no failover',
                );
            }
        }

        return $apis;
    }

    /**
     * How TLS is spoken to REST APIs.
     *
     * @return array<string, mixed>|null
     */
    public static function tls(Source $source, bool $isTls): ?array
    {
        if (!$isTls) {
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

    /** @return list<Api> if it answered well */
    private function judge(SourceUrl $url, Endpoint $endpoint, Exchange $cluster, Exchange $own): array
    {
        $subject = (string) $endpoint;
        if ($cluster->isTlsError || $cluster->certificate !== null && !isset($cluster->certificate['extensions']['subjectAltName'])) {
            $reason = $this->refusal($url, $endpoint, $cluster->error);
            if ($reason !== null) {
                $this->report->add(
                    'tls.endpoint',
                    Level::Error,
                    $subject,
                    $reason,
                    'name the CA that signed the certificate in patroni_cafile, and the host as the certificate does; renew one that has expired; where a client certificate is asked for: patroni_cert and patroni_key',
                );

                return [];
            }
            $this->report->ok('tls.certificate', $subject, 'the extension accepts the certificate');
        }
        if ($cluster->error !== null) {
            $this->silent($url, $endpoint, $cluster, $own);

            return [];
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

            return [];
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
            $api = new Api($endpoint, $json, $own->error === null ? Http::parse($own->answer)?->json() : null);
            $this->judgeAnswer($api, $cluster, $answer);

            return [$api];
        }

        return [];
    }

    private function silent(SourceUrl $url, Endpoint $endpoint, Exchange $cluster, Exchange $own): void
    {
        $subject = (string) $endpoint;
        if ($cluster->isTlsError) {
            ++$this->accepted;

            return;
        }
        $json = $cluster->isConnected && $own->error === null ? Http::parse($own->answer)?->json() : null;
        if ($json !== null) {
            $api = new Api($endpoint, [], $json);
            $this->report->add('endpoint.dcs', Level::Warning, $subject, "{$api->name()}, {$api->ownRole()}: answers GET /patroni, and GET /cluster not: $cluster->error", self::DCS);

            return;
        }
        [$id, $advice] = $cluster->isConnected
            ? ['endpoint.silent', 'look at Patroni\'s log there: it hangs, or its DCS does; or something else listens on this port, or it speaks ' . ($url->isTls() ? 'no TLS (patroni://)' : 'TLS (patroni+https://)')]
            : ['endpoint.unreachable', 'start Patroni there, or see to the machine, to restapi.listen, to the firewall and to the port in the source string'];
        $this->report->add($id, Level::Warning, $subject, $cluster->error ?? 'no answer', $advice);
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
                self::DCS,
            );
        }
        $certificate = $exchange->certificate;
        if ($certificate !== null && Expiry::check($subject, $certificate, Level::Error, 'renew it (Patroni: restapi.certfile, then patronictl reload)', $this->report)) {
            $this->report->ok('tls.certificate', $subject, 'verified, good until ' . gmdate('Y-m-d', $certificate['validTo_time_t']));
        }
    }

    /**
     * Why TLS to an endpoint fails, or null: the extension has the last word on a certificate, and says best what is wrong with it.
     *
     * @param string|null $reason what PHP says
     */
    private function refusal(SourceUrl $url, Endpoint $endpoint, ?string $reason): ?string
    {
        if (!Extension::isLoaded() || $this->spentOnOpinions > self::OPINIONS) {
            return $reason;
        }
        $start = hrtime(true);
        try {
            \HaDsn::configure($this->source->only(str_replace('+srv', '', $url->scheme), $endpoint), 'hadsn_doctor');
            \HaDsn::topology('hadsn_doctor');

            return null;
        } catch (\HaDsn\Exception $error) {
            $said = Text::line($error->getMessage());
            $at = strpos($said, 'TLS: ');

            return $at === false ? $reason : substr($said, $at);
        } finally {
            $this->spentOnOpinions += (hrtime(true) - $start) / 1e9;
        }
    }
}
