<?php

declare(strict_types=1);

namespace HaDsn\Testing;

use HaDsn\Testing\Server\Journal;

/**
 * A cluster that is not there: Patroni's REST API of each member, on ports of this machine, and, in front of a PostgreSQL server of
 * yours, the members' databases. The extension itself talks to it, and a failover costs milliseconds.
 *
 *     $cluster = FakeCluster::start();                             // pg1 leads, pg2 and pg3 are replicas; no database
 *     HaDsn::configure($cluster->sources());
 *     $cluster->switchover();
 *
 *     $cluster = FakeCluster::inFrontOf('127.0.0.1', 5432);        // the same, with the databases of that server
 *     $cluster->before('INSERT INTO purchase')->switchover();
 *
 * It ends with the object, and with the test's process. No two of one process have the same source string: hadsn remembers
 * a cluster by it. Without the extension everything here works but what needs {@see \HaDsn}. docs/testing.md tells more.
 */
final class FakeCluster
{
    /** @var array<int, true> ports that have been used in this process */
    private static array $used = [];

    private readonly Background $process;

    /** @var array<string, array{postgres: int, api: int}> */
    private readonly array $ports;

    /**
     * Starts a cluster without a database: who is asked for a DSN gets one, and connecting fails.
     *
     * @param FakeMember ...$members the first one leads; pg1, pg2 and pg3 without any
     */
    public static function start(FakeMember ...$members): self
    {
        return new self(null, $members);
    }

    /**
     * Starts a cluster whose members are all the same PostgreSQL server: one that tests may write to. On the members that do not lead,
     * sessions are read-only, and `pg_is_in_recovery()` is true.
     *
     * Its connections are made without TLS, and the server has to take such connections. What is committed there stays: a failover
     * loses no data here.
     *
     * @param string     $host       an address, a name, or the directory of a socket
     * @param int        $port       where it listens
     * @param FakeMember ...$members the first one leads; pg1, pg2 and pg3 without any
     *
     * @throws \RuntimeException if nobody listens there
     */
    public static function inFrontOf(string $host = '127.0.0.1', int $port = 5432, FakeMember ...$members): self
    {
        foreach ($members as $member) {
            if ($member->host !== null) {
                throw new \InvalidArgumentException("member $member->name: host $member->host: in front of a server the members' addresses are the cluster's own");
            }
        }
        $server = str_starts_with($host, '/') ? "unix://$host/.s.PGSQL.$port" : 'tcp://' . (str_contains($host, ':') ? "[$host]" : $host) . ":$port";

        return new self($server, $members);
    }

    /** @param array<FakeMember> $members */
    private function __construct(?string $server, array $members)
    {
        $members = $members === [] ? [new FakeMember('pg1'), new FakeMember('pg2'), new FakeMember('pg3')] : array_values($members);
        $names = array_map(static fn(FakeMember $member): string => $member->name, $members);
        if (count(array_unique($names)) < count($names)) {
            throw new \InvalidArgumentException('two members have the same name: ' . implode(', ', $names));
        }
        $this->process = new Background([
            'members' => array_map(get_object_vars(...), $members),
            'upstream' => $server,
            'used' => array_keys(self::$used),
            'system' => (string) random_int(7_000_000_000_000_000_000, 7_999_999_999_999_999_999),
        ]);
        $hello = $this->process->hear();
        if (isset($hello['mistake'])) {
            throw new \RuntimeException("FakeCluster: {$hello['mistake']}");
        }
        /** @var array<string, array{postgres: int, api: int}> $ports */
        $ports = $hello['ports'];
        $this->ports = $ports;
        foreach ($this->ports as $ports) {
            self::$used[$ports['postgres']] = self::$used[$ports['api']] = true;
        }
    }

    /**
     * The text for `HaDsn::configure()`, `HADSN_URL` or `hadsn.url`.
     *
     *     $cluster->sources('shop_test', ['failover_timeout' => '2s'])
     *
     * @param string                $database the database that is connected to
     * @param array<string, string> $options  of the source string; see the README
     * @param string|null           $user     the role to log in as; PDO takes it beside the DSN as well
     * @param string|null           $password
     */
    public function sources(string $database = 'app', array $options = [], ?string $user = null, #[\SensitiveParameter] ?string $password = null): string
    {
        $login = $user === null ? '' : rawurlencode($user) . ($password === null ? '' : ':' . rawurlencode($password)) . '@';
        $endpoints = array_map(static fn(array $ports): string => "127.0.0.1:{$ports['api']}", $this->ports);
        $query = implode('&', array_map(
            static fn(string $name, string $value): string => rawurlencode($name) . '=' . rawurlencode($value),
            array_keys($options),
            $options,
        ));

        return "patroni://$login" . implode(',', $endpoints) . '/' . rawurlencode($database) . ($query === '' ? '' : "?$query");
    }

    /** Who is named the leader, which need not be alive; null: nobody. */
    public function leader(): ?string
    {
        foreach ($this->members() as $member) {
            if ($member['role'] === 'leader') {
                /** @var string */
                return $member['name'];
            }
        }

        return null;
    }

    /**
     * What Patroni's `GET /cluster` says of the members now.
     *
     * @return list<array<string, mixed>>
     */
    public function members(): array
    {
        /** @var array{members: list<array<string, mixed>>} $cluster */
        $cluster = $this->process->ask(['do' => 'describe']);

        return $cluster['members'];
    }

    /** Where a member's PostgreSQL is connected to, `127.0.0.1:port`, whether it is up or not. */
    public function address(string $member): string
    {
        return '127.0.0.1:' . ($this->ports[$member] ?? throw new \LogicException("FakeCluster: there is no member \"$member\""))['postgres'];
    }

    /**
     * Makes another member the leader in good order. The old leader ends its connections with "terminating connection due to
     * administrator command" and is a replica afterwards.
     *
     * @param string|null $to      who leads then; null: the first replica that may
     * @param float       $seconds how long nobody leads; the call does not wait for it
     */
    public function switchover(?string $to = null, float $seconds = 0.0): void
    {
        $this->process->ask(['do' => 'switchover', 'to' => $to, 'seconds' => $seconds]);
    }

    /**
     * The leader is gone, its connections break, and a replica leads. {@see startMember()} brings it back, as a replica.
     *
     * @param string|null $to      who leads then; null: the first replica that may
     * @param float       $seconds how long the dead leader is still named, as it is until its lock expires; the call does not wait for it
     */
    public function crash(?string $to = null, float $seconds = 0.0): void
    {
        $this->process->ask(['do' => 'crash', 'to' => $to, 'seconds' => $seconds]);
    }

    /**
     * Makes another member the leader, and keeps the connections to the old one, as a pooler does: they are those of a replica now.
     *
     * @param string|null $to who leads then; null: the first replica that may
     */
    public function demote(?string $to = null): void
    {
        $this->process->ask(['do' => 'demote', 'to' => $to]);
    }

    /** The leader is gone, and nobody takes over. */
    public function noLeader(): void
    {
        $this->process->ask(['do' => 'noLeader']);
    }

    /** Somebody leads again: `$member`, or the first replica that may. */
    public function elect(?string $member = null): void
    {
        $this->process->ask(['do' => 'elect', 'to' => $member]);
    }

    /** A member is gone, and its connections break. If it led, nobody does. */
    public function stopMember(string $member): void
    {
        $this->process->ask(['do' => 'stop', 'member' => $member]);
    }

    /** A member is there again, as a replica. */
    public function startMember(string $member): void
    {
        $this->process->ask(['do' => 'start', 'member' => $member]);
    }

    /** A member says nothing any more and keeps its connections, as a machine that hangs. {@see elect()} replaces a leader. */
    public function freeze(string $member): void
    {
        $this->process->ask(['do' => 'freeze', 'member' => $member]);
    }

    /** It goes on. If somebody else leads by now, it is a replica and ends the connections that it had as the leader. */
    public function thaw(string $member): void
    {
        $this->process->ask(['do' => 'thaw', 'member' => $member]);
    }

    /** How far a replica is behind, in bytes; null: it is not known. What was written can be seen there all the same. */
    public function lag(string $member, ?int $bytes): void
    {
        $this->process->ask(['do' => 'lag', 'member' => $member, 'bytes' => $bytes]);
    }

    /**
     * How long the REST API takes to answer. INF: it says nothing.
     *
     * @param string|null $member whose; null: that of all
     */
    public function slow(float $seconds, ?string $member = null): void
    {
        $this->process->ask(['do' => 'slow', 'seconds' => is_infinite($seconds) ? null : $seconds, 'member' => $member]);
    }

    /**
     * What is to happen when a statement comes, before the server gets it.
     *
     *     $cluster->before('INSERT INTO purchase', nth: 2)->switchover();
     *
     * @param string $statement the text that it begins with (case and white space do not count), or a regular expression: `/purchase/i`
     * @param int    $nth       the first one that comes from now on, the second, …
     */
    public function before(string $statement, int $nth = 1): Ambush
    {
        return $this->ambush(true, $statement, $nth);
    }

    /**
     * What is to happen when the server has done a statement, and before the application hears of it. A statement that the server
     * refuses does not count.
     *
     *     $cluster->after('COMMIT')->crash();          // it is committed, and the application can't know
     *
     * @param string $statement as {@see before()}
     * @param int    $nth       as {@see before()}
     */
    public function after(string $statement, int $nth = 1): Ambush
    {
        return $this->ambush(false, $statement, $nth);
    }

    /** Forgets what {@see before()} and {@see after()} have said. */
    public function disarm(): void
    {
        $this->process->ask(['do' => 'disarm']);
    }

    /**
     * What {@see before()} and {@see after()} have said and what has not happened yet.
     *
     * @return list<string>
     */
    public function armed(): array
    {
        /** @var list<string> */
        return $this->isRunning() ? $this->process->ask(['do' => 'armed']) : [];
    }

    /**
     * The statements that have come so far, those of hadsn among them, in their order.
     *
     * @param string|null $matching only those; as in {@see before()}
     *
     * @return list<Statement>
     */
    public function statements(?string $matching = null): array
    {
        $pattern = $matching === null ? null : Pattern::of($matching);
        $statements = [];
        /** @var list<array{sql: string, member: string, connection: int, fate: string}> $journal */
        $journal = $this->process->ask(['do' => 'statements']);
        foreach ($journal as $entry) {
            if ($pattern === null || preg_match($pattern, $entry['sql']) === 1) {
                $statements[] = new Statement($entry['sql'], $entry['member'], $entry['connection'], Fate::from($entry['fate']));
            }
        }

        return $statements;
    }

    /** How often the REST API was asked, that of all members together. */
    public function requests(): int
    {
        /** @var int */
        return $this->process->ask(['do' => 'requests']);
    }

    /** The member that a connection leads to; null: it leads elsewhere. It must not be in a failed transaction. */
    public function memberOf(\PDO $pdo): ?string
    {
        // The simple protocol: nothing is left at the server that PDO would have to remove.
        $statement = $pdo->prepare('SELECT pg_backend_pid() ' . Journal::OURS, [\PDO::ATTR_EMULATE_PREPARES => true]);
        $statement->execute();

        /** @var string|null */
        return $this->process->ask(['do' => 'memberOf', 'pid' => (int) $statement->fetchColumn()]);
    }

    public function isRunning(): bool
    {
        return $this->process->isRunning();
    }

    /** Ends it: nobody listens there any more. */
    public function stop(): void
    {
        $this->process->stop();
    }

    private function ambush(bool $isBefore, string $statement, int $nth): Ambush
    {
        $pattern = Pattern::of($statement);
        if ($nth < 1) {
            throw new \InvalidArgumentException("nth $nth: expected 1 or more");
        }

        return new Ambush(function (array $action) use ($isBefore, $statement, $pattern, $nth): void {
            $this->process->ask(['do' => 'trap', 'before' => $isBefore, 'statement' => $statement, 'pattern' => $pattern, 'nth' => $nth, 'action' => $action]);
        });
    }
}
