<?php

declare(strict_types=1);

use HaDsn\Phase;
use HaDsn\Topology;
use HaDsn\Verdict;

/**
 * Which server of a Patroni-run PostgreSQL cluster to connect to now.
 *
 *     $pdo = new PDO(HaDsn::writer(), 'app', 'secret');           // the leader
 *     $pdo = new PDO(HaDsn::reader(), 'app', 'secret');           // a replica
 *
 * A cluster has a name; without one, `default` is meant. Names are `[a-z][a-z0-9_]*`, 64 characters at most, neither
 * `file` nor ending in `_file`.
 *
 * Where the sources of a cluster come from, first match wins:
 *
 *  1. {@see HaDsn::configure()}, for the rest of the request;
 *  2. the environment variable `HADSN_URL` (`HADSN_URL_ORDERS` for the cluster `orders`);
 *  3. the file that the environment variable `HADSN_URL_FILE` (`HADSN_URL_ORDERS_FILE`) names;
 *  4. `hadsn.url` (`hadsn.url.orders`) in php.ini.
 *
 * What stands in 2 to 4 is read at the first use of a cluster in a request. See {@see HaDsn::configure()} for the text
 * itself and all of its options.
 */
final class HaDsn
{
    private function __construct() {}

    /**
     * Says what a cluster's sources are, for the rest of this request.
     *
     * Everything is checked at once; nothing is asked over the network. A second call for the same cluster replaces
     * the first. Nothing of it reaches the next request.
     *
     *     HaDsn::configure('patroni://10.0.0.1,10.0.0.2,10.0.0.3/app?max_lag=1MiB&reader_sync=on');
     *     HaDsn::configure('patroni://pg1:8008,pg2:8008/orders', 'orders');
     *
     * The text is one or more source URLs, separated by white space and tried in order:
     *
     *     SCHEME://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…][/DATABASE][?OPTION=VALUE[&OPTION=VALUE…]]
     *
     * | scheme                                | who is asked                                                            |
     * |---------------------------------------|-------------------------------------------------------------------------|
     * | `patroni`, `patroni+https`            | Patroni's REST API, port 8008 unless one is given                       |
     * | `patroni+srv`, `patroni+https+srv`    | the same, at the hosts in the SRV records of `_patroni._tcp.HOST`       |
     * | `postgresql`                          | the servers themselves, by SQL, port 5432 unless one is given           |
     * | `postgresql+srv`                      | the same, at the hosts in the SRV records of `_postgresql._tcp.HOST`    |
     *
     * IPv6 addresses stand in brackets. User and password are those of the database: servers are asked with them, and
     * {@see HaDsn::conninfo()} and {@see HaDsn::connect()} use them; PDO takes them beside the DSN. Options, credentials and
     * the database stand on the first source. Values are percent-encoded; a `+` is a plus.
     *
     * Durations are written `250ms`, `5s` or `2m`, a day at most; a bare number is refused. Sizes
     * are bytes, alone (`65536`) or with `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) or `kB`, `MB`, `GB`, `TB` (powers
     * of 1000).
     *
     * Finding the leader and the replicas:
     *
     * | option             | meaning                                                                     | default     |
     * |--------------------|-----------------------------------------------------------------------------|-------------|
     * | `poll`             | how often it is checked that the leader still leads                         | `1s`        |
     * | `ttl`              | how long replicas and lag count as fresh                                    | `10s`       |
     * | `max_stale`        | how long the last good answer may be used while every source is silent      | `5m`        |
     * | `timeout`          | one look, over all endpoints together                                       | `2s`        |
     * | `hedge`            | how long the first endpoint may take before the others are asked beside it  | `100ms`     |
     * | `connect_timeout`  | one attempt to connect; for a bare DSN PDO has `PDO::ATTR_TIMEOUT`          | `3s`        |
     * | `failover_timeout` | how long a caller waits for a new leader                                    | `60s` in CLI, else `10s` |
     * | `patroni_user`     | user of the REST API (HTTP Basic authentication), without a colon           | none        |
     * | `patroni_password` | its password                                                                | none        |
     * | `patroni_cafile`   | PEM file of the CA that signs its certificates                              | the system's |
     * | `patroni_cert`     | PEM file of a client certificate for it                                     | none        |
     * | `patroni_key`      | PEM file of the key to that                                                 | none        |
     * | `nameserver`       | `HOST[:PORT]` of the DNS server for SRV records                             | the system's |
     *
     * A leader is handed out without a look for `2 × poll + timeout` after it was seen, `ttl` at most; replicas for `ttl`.
     *
     * Choosing a replica:
     *
     * | option            | meaning                                                                      | default       |
     * |-------------------|------------------------------------------------------------------------------|---------------|
     * | `reader`          | `round_robin`, `random`, `least_lag` or `nearest`                            | `round_robin` |
     * | `max_lag`         | a replica further behind (bytes), or by an unknown number, is not read from  | none          |
     * | `reader_sync`     | `on`: only synchronous and quorum standbys                                   | `off`         |
     * | `reader_fallback` | when no replica is left: `writer`, or `error` for a NoReplicaException       | `writer`      |
     *
     * Addresses:
     *
     * | option        | meaning                                                                          | default |
     * |---------------|----------------------------------------------------------------------------------|---------|
     * | `port`        | connect to this port instead of the announced one (a pooler on each node)        | none    |
     * | `map`         | announced address to reachable one: `10.0.0.1=db1.example.com:5433,10.0.0.2=db2` | none    |
     * | `allow_hosts` | networks and names outside of which no member is connected to: `10.0.0.0/8,.example.com` | all |
     *
     * Passed on to libpq in every DSN, without a default of hadsn's own: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`,
     * `sslcrl`, `require_auth`, `channel_binding`, `passfile`, `application_name`, `options`, `client_encoding`,
     * `gssencmode`; and, because they bound a dead peer, with one:
     *
     * | option                | meaning                                                           | default |
     * |-----------------------|-------------------------------------------------------------------|---------|
     * | `tcp_user_timeout`    | how long sent data may stay unacknowledged, in ms without a unit  | `5000`  |
     * | `keepalives_idle`     | seconds of silence before the first keepalive, without a unit     | `10`    |
     * | `keepalives_interval` | seconds between two keepalives, without a unit                    | `3`     |
     * | `keepalives_count`    | how many lost keepalives end the connection                       | `3`     |
     *
     * Known, and not available yet: `max_waiters` (how many processes may wait for a leader at a time), and `proof=ledger`
     * and `proof=xid` (how a commit in doubt is settled; `proof=off` is the default).
     *
     * @param string $sources the source URLs; they may hold passwords, which no message and no stack trace shows
     * @param string $cluster the cluster that is meant
     *
     * @throws HaDsn\ConfigException if a URL, an option, a value or the cluster's name is malformed, unknown, repeated
     *                               or not available yet; the message names it and what was expected
     */
    public static function configure(#[\SensitiveParameter] string $sources, string $cluster = 'default'): void {}

    /**
     * The DSN of the leader, for `new PDO()`, without credentials.
     *
     *     pgsql:host=10.0.0.1;port=5432;dbname=app;target_session_attrs=read-write;tcp_user_timeout=5000;…
     *
     * Answers from memory while the leader was seen lately, and asks otherwise, for `timeout` at most. When every source
     * is silent, or answers nonsense, the last good answer is used, up to `max_stale`. While the sources say that there
     * is no leader it waits for one, for `failover_timeout` at most; a signal ends the wait, after PHP's handlers ran.
     *
     * With `port` set (a pooler on each node) nobody has verified that the server behind it takes writes.
     *
     * @param string $cluster the cluster that is meant
     *
     * @throws HaDsn\ConfigException    if the cluster is not configured, or wrongly, or if the DSN would hold a `;`,
     *                                  which PDO can't pass on
     * @throws HaDsn\DiscoveryException if no source gave a usable answer, and none is young enough
     * @throws HaDsn\NoLeaderException  if there is still no leader after `failover_timeout`, if a signal ended the wait,
     *                                  or, at once, if `allow_hosts` leaves out the leader or its host name has no address
     */
    public static function writer(string $cluster = 'default'): string {}

    /**
     * The DSN of a replica, for `new PDO()`, without credentials.
     *
     * The option `reader` decides which one. Replicas that stream are read from, unless they are tagged `noloadbalance`;
     * while nobody leads, also those that run or recover from the archive: reads go on without a leader, and without
     * waiting. With no replica left it behaves like {@see HaDsn::writer()}, unless `reader_fallback` is `error`.
     *
     *     $pdo = new PDO(HaDsn::reader(maxLag: 65536), 'app', 'secret');
     *
     * @param string      $cluster the cluster that is meant
     * @param int|null    $maxLag  bytes, 0 or more, in place of the option `max_lag`; a replica whose lag is unknown
     *                             exceeds every number
     * @param string|null $after   a token of {@see HaDsn::position()} that has to be visible: a replica that is known to have
     *                             replayed that far, else the leader; {@see HaDsn::connect()} asks the replicas themselves
     *
     * @throws HaDsn\ConfigException    as {@see HaDsn::writer()}, or if `$maxLag` is negative or `$after` is no token
     * @throws HaDsn\DiscoveryException if no source gave a usable answer, and none is young enough
     * @throws HaDsn\NoReplicaException if no replica fits and `reader_fallback` is `error`
     * @throws HaDsn\NoLeaderException  if no replica fits and there is no leader to fall back to
     */
    public static function reader(string $cluster = 'default', ?int $maxLag = null, ?string $after = null): string {}

    /**
     * The conninfo string of the leader or of a replica, for `pg_connect()`. It holds the user and the password if the
     * source does, and `connect_timeout`.
     *
     *     $connection = pg_connect(HaDsn::conninfo(), PGSQL_CONNECT_FORCE_NEW);
     *
     * `pg_connect()` hands out an old connection for the same text unless it is told to make a new one.
     *
     * @param string $role    `writer` or `reader`: where {@see HaDsn::writer()} or {@see HaDsn::reader()} would lead
     * @param string $cluster the cluster that is meant
     *
     * @throws HaDsn\ConfigException    if the role is another one, or the cluster is not configured, or wrongly
     * @throws HaDsn\DiscoveryException if no source gave a usable answer, and none is young enough
     * @throws HaDsn\NoLeaderException  as {@see HaDsn::writer()}
     * @throws HaDsn\NoReplicaException as {@see HaDsn::reader()}
     */
    public static function conninfo(string $role = 'writer', string $cluster = 'default'): string {}

    /**
     * Calls in question what is known of a cluster: the next call asks its sources, whatever is in memory; but four times a second
     * at most, so that a call right after several others may still answer from the last one. For code that has just seen a
     * connection fail.
     *
     *     try {
     *         $pdo->exec('INSERT …');
     *     } catch (PDOException) {
     *         HaDsn::invalidate();
     *         $pdo = new PDO(HaDsn::writer(), 'app', 'secret');
     *     }
     *
     * @param string $cluster the cluster that is meant
     *
     * @throws HaDsn\ConfigException if the cluster is not configured, or wrongly
     */
    public static function invalidate(string $cluster = 'default'): void {}

    /**
     * Forgets what is remembered of leaders and timelines, in this process, and makes the cluster suspect. After a restore to
     * an earlier point in time, or when a cluster was made anew, hadsn takes the new leader by itself once every endpoint that
     * answers agrees on it; this is for those who know and don't want to wait for the last one.
     *
     * @param string $cluster the cluster that is meant
     *
     * @throws HaDsn\ConfigException if the cluster is not configured, or wrongly
     */
    public static function forget(string $cluster = 'default'): void {}

    /**
     * A connection to the leader or to a replica, its role verified, made again and again through a failover for
     * `failover_timeout` at most.
     *
     *     $pdo = HaDsn::connect('app', 'secret');
     *     $pdo = HaDsn::connect(role: 'reader', after: $token);         // sees what was written before the token
     *
     * It is what a plain `new PDO()` gives, and takes what that takes; `PDO::ATTR_TIMEOUT` comes from the option
     * `connect_timeout`. What trying again can't help (a wrong password, an unknown database, a refusal of TLS) is thrown
     * at once, as the PDOException that it is.
     *
     * @param string|null            $username the role to log in as; the source's user without one
     * @param string|null            $password its password; the source's without one
     * @param array<int, mixed>|null $options  PDO's
     * @param string                 $role     `writer` or `reader`
     * @param string                 $cluster  the cluster that is meant
     * @param string|null            $after    a token of {@see HaDsn::position()} that a reader has to see
     *
     * @throws HaDsn\ConfigException    if an argument or the cluster's configuration is wrong
     * @throws HaDsn\DiscoveryException if no source gave a usable answer, and none is young enough
     * @throws HaDsn\NoLeaderException  if time is up; the last PDOException is its previous one
     * @throws HaDsn\NoReplicaException the same for a reader
     * @throws PDOException             if the server refuses for good
     */
    public static function connect(
        ?string $username = null,
        #[\SensitiveParameter]
        ?string $password = null,
        ?array $options = null,
        string $role = 'writer',
        string $cluster = 'default',
        ?string $after = null,
    ): PDO {}

    /**
     * A token for how far a connection's server has come: what was written on it before is visible to whoever asks for
     * `$after` this token. Opaque; holds a timeline and a WAL position. Best taken after COMMIT.
     *
     * @param PDO $pdo a connection of PDO's PostgreSQL driver
     *
     * @throws PDOException          if the server can't be asked
     * @throws HaDsn\ConfigException if the answer is not PostgreSQL's
     */
    public static function position(PDO $pdo): string {}

    /**
     * What an error means for the work that was being done: whether it may be done again.
     *
     *     try {
     *         $pdo->exec('UPDATE …');
     *     } catch (PDOException $e) {
     *         if (HaDsn::verdict($e, HaDsn\Phase::InTransaction) !== HaDsn\Verdict::Retry) {
     *             throw $e;
     *         }
     *         $pdo = new PDO(HaDsn::writer(), 'app', 'secret');    // and the whole transaction again
     *     }
     *
     * Exceptions of frameworks are taken too: what counts is found along `getPrevious()`. An error that speaks against what
     * is known of a cluster makes it suspect, as {@see HaDsn::invalidate()} does.
     *
     * @param Throwable   $error   what was caught
     * @param Phase       $phase   what the application was doing
     * @param string|null $cluster the cluster that is meant; null stands for every one that was used in this request
     *
     * @throws HaDsn\ConfigException if the cluster's name or its configuration is wrong
     */
    public static function verdict(Throwable $error, Phase $phase = Phase::Unknown, ?string $cluster = null): Verdict {}

    /**
     * All members of a cluster and their state, not older than `ttl` unless every source is silent.
     *
     * @param string $cluster the cluster that is meant
     *
     * @throws HaDsn\ConfigException    if the cluster is not configured, or wrongly
     * @throws HaDsn\DiscoveryException if no source gave a usable answer, and none is young enough
     */
    public static function topology(string $cluster = 'default'): Topology {}

    /**
     * What is known of every cluster that is configured or was used in this request, for health pages. Asks nobody, and
     * holds no secrets; can be passed to `json_encode()`.
     *
     * A cluster's entry holds:
     *
     *  - `source`: its source URLs, without credentials;
     *  - `answered_by`: the endpoint that answered last, such as `patroni 10.0.0.1:8008` or `postgresql 10.0.0.2:5432`, or null;
     *  - `leader` and `leader_address`: the leader's name, and where it is connected to, or null;
     *  - `age`: seconds since the last good answer, or null before the first;
     *  - `state`: `fresh` (younger than `ttl`), `stale`, or `suspect` (called in question, the next call looks again);
     *  - `error`: what went wrong at the last look, or null;
     *  - `failover_timeout`: seconds;
     *  - `proof`: `off`;
     *  - `epoch`: how often the answer was renewed or called in question.
     *
     * Of a cluster whose configuration is wrong there is only `error`.
     *
     * @return array{
     *     version: string,
     *     clusters: array<string, array{
     *         source?: string,
     *         answered_by?: string|null,
     *         leader?: string|null,
     *         leader_address?: string|null,
     *         age?: float|null,
     *         state?: 'fresh'|'stale'|'suspect',
     *         error: string|null,
     *         failover_timeout?: float,
     *         proof?: 'off',
     *         epoch?: int,
     *     }>,
     * }
     */
    public static function status(): array {}
}
