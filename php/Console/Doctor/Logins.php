<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Cluster;
use HaDsn\Console\Endpoint;
use HaDsn\Console\Failure;
use HaDsn\Console\Interrupt;
use HaDsn\Console\Net\Children;
use HaDsn\Console\Text;

/**
 * What a login to each member shows: credentials, the role by the server's own word, its clock, its replication slots.
 *
 * @internal
 */
final class Logins
{
    /** In a process of its own: nothing ends a query to a server that is frozen but the end of the process. */
    private const LOG_IN = <<<'PHP'
        $in = json_decode(stream_get_contents(STDIN), true);
        try {
            $pdo = new PDO($in['dsn'], $in['user'], $in['password'], [PDO::ATTR_TIMEOUT => 2, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
            $from = microtime(true);
            $row = $pdo->query($in['server'])->fetch(PDO::FETCH_ASSOC);
            $to = microtime(true);
            $slots = $row['standby'] ? [] : $pdo->query($in['slots'])->fetchAll(PDO::FETCH_ASSOC);
            echo json_encode(['row' => $row, 'slots' => $slots, 'from' => $from, 'to' => $to], JSON_INVALID_UTF8_SUBSTITUTE), "\n";
        } catch (PDOException $error) {
            echo json_encode(['error' => $error->getMessage()], JSON_INVALID_UTF8_SUBSTITUTE), "\n";
        }
        PHP;

    private const SERVER = <<<'SQL'
        SELECT pg_is_in_recovery()::int AS standby, current_setting('server_version') AS version, current_setting('default_transaction_read_only') AS read_only,
            extract(epoch FROM clock_timestamp()) AS clock
        SQL;

    /** By way of JSON: wal_status is not there before PostgreSQL 13. */
    private const SLOTS = <<<'SQL'
        SELECT slot_name, active::int AS active, to_jsonb(s)->>'wal_status' AS wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS kept
        FROM pg_replication_slots AS s ORDER BY slot_name
        SQL;

    /** A slot that nobody uses, and that keeps so much WAL, fills the disk sooner or later. */
    private const KEPT = 1 << 30;

    private const TIMEOUT = 3.0;
    private const MOST = 32;

    public function __construct(private readonly Cluster $cluster, private readonly Report $report, private readonly Clocks $clocks) {}

    /** @param list<Node> $nodes those that can be connected to */
    public function check(array $nodes): void
    {
        $user = $this->cluster->user();
        if ($nodes === [] || !extension_loaded('pdo_pgsql')) {
            return;
        }
        if ($user === null) {
            $this->report->add(
                'login.user',
                Level::Notice,
                'credentials',
                'no database role is known to the command line: nobody logged in',
                'name one with --user and --password-file to have logins, roles and replication slots checked',
            );

            return;
        }
        // The leader first; each is a process of its own.
        usort($nodes, static fn(Node $a, Node $b): int => $b->isLeader() <=> $a->isLeader());
        if (count($nodes) > self::MOST) {
            $this->report->add('login.skipped', Level::Notice, 'logins', 'only at the first ' . self::MOST . ' of ' . count($nodes) . ' members', 'see who announces so many members');
            $nodes = array_slice($nodes, 0, self::MOST);
        }
        $inputs = array_map(fn(Node $node): array => [
            'dsn' => $this->cluster->dsn($node->found->endpoint, Endpoint::isAddress($node->found->endpoint->host) ? null : $node->found->ip),
            'user' => $user,
            'password' => $this->cluster->password(),
            'server' => self::SERVER,
            'slots' => self::SLOTS,
        ], $nodes);
        try {
            $answers = Children::run(self::LOG_IN, $inputs, self::TIMEOUT);
        } catch (Failure $failure) {
            Interrupt::check();
            $this->report->add('login.skipped', Level::Warning, 'logins', "nobody could log in: {$failure->getMessage()}", 'a login needs a process of its own, which can be ended when the server is frozen');

            return;
        }
        foreach ($answers as $i => $lines) {
            $said = is_array($lines[0] ?? null) ? $lines[0] : ['error' => 'no answer within ' . Text::duration(self::TIMEOUT)];
            if (isset($said['error']) || !isset($said['row'])) {
                $this->refused($nodes[$i], $user, (string) ($said['error'] ?? 'no answer'));
            } else {
                $this->judge($nodes[$i], $user, $said);
            }
        }
    }

    private function refused(Node $node, string $user, string $message): void
    {
        // The first lines of libpq repeat the address.
        $message = Text::line((string) preg_replace('/^SQLSTATE\[\w+\](?: \[\d+\])? */', '', $message));
        [$id, $advice] = match (true) {
            str_contains($message, 'password authentication failed'), str_contains($message, 'no password supplied'), str_contains($message, 'role "') && str_contains($message, 'does not exist') => ['login.password', 'see to the role and its password: --user and --password-file, the source string, PGPASSWORD or the password file'],
            str_contains($message, 'pg_hba.conf') => ['login.hba', 'allow this host, role and database in pg_hba.conf (Patroni: postgresql.pg_hba) of every node'],
            str_contains($message, 'database "') => ['login.database', 'name the right database in the source string, or create it'],
            str_contains($message, 'certificate'), str_contains($message, 'SSL'), str_contains($message, 'root.crt') => ['tls.login', 'see to sslmode and sslrootcert in the source string, and to the certificate of PostgreSQL there'],
            str_contains($message, 'too many'), str_contains($message, 'remaining connection slots') => ['login.full', 'raise max_connections, or put a pooler in front (option port)'],
            str_contains($message, 'no answer within'), str_contains($message, 'timeout expired') => ['login.silent', 'the server takes connections and does not answer: it is frozen, or overloaded'],
            default => ['login.failed', 'see the log of PostgreSQL there'],
        };
        $this->report->add($id, Level::Error, $node->subject(), "user $user: $message", $advice);
    }

    /** @param array{row: array<string, mixed>, slots: list<array<string, mixed>>, from: float, to: float} $said */
    private function judge(Node $node, string $user, array $said): void
    {
        $row = $said['row'];
        $isStandby = (int) $row['standby'] === 1;
        $this->clocks->told($node->name(), (float) $row['clock'], $said['from'], $said['to']);
        if ($node->said->role !== null && $isStandby === $node->isLeader()) {
            $this->report->add(
                'login.role',
                Level::Error,
                $node->subject(),
                $isStandby ? 'is called the leader, and is in recovery: it takes no writes' : "is called a {$node->said->role}, and is not in recovery: it takes writes",
                $isStandby ? 'in a failover wait; otherwise see patronictl list, and whether map, port or a proxy leads to another server' : 'look again in some seconds: it may have become the leader just now; then see whether map, port or a proxy leads to another server; if not, two servers may take writes: compare their timelines (patronictl list) before you stop one',
            );

            return;
        }
        if (!$isStandby && $row['read_only'] === 'on') {
            $this->report->add(
                'login.read_only',
                Level::Warning,
                $node->subject(),
                'default_transaction_read_only is on for this role: libpq takes the leader for a replica',
                'turn it off (ALTER ROLE ... RESET default_transaction_read_only), or use another role',
            );
        }
        $this->report->ok('login.works', $node->subject(), "user $user, PostgreSQL {$row['version']}, " . ($isStandby ? 'in recovery' : 'takes writes'));
        foreach ($said['slots'] as $slot) {
            $this->checkSlot($slot);
        }
        if ($said['slots'] !== []) {
            $active = count(array_filter($said['slots'], static fn(array $slot): bool => (int) $slot['active'] === 1));
            $this->report->ok('slot.active', $node->name(), "$active of " . Text::count(count($said['slots']), 'replication slot') . ' in use');
        }
    }

    /** @param array<string, mixed> $slot */
    private function checkSlot(array $slot): void
    {
        $name = (string) $slot['slot_name'];
        $kept = (int) ($slot['kept'] ?? 0);
        if ($slot['wal_status'] === 'lost') {
            $this->report->add(
                'slot.lost',
                Level::Warning,
                $name,
                'the WAL that it needs is gone',
                'make its replica anew (patronictl reinit), and drop the slot if nobody uses it',
            );
        } elseif ((int) $slot['active'] === 0) {
            $isLarge = $kept >= self::KEPT || $slot['wal_status'] === 'unreserved';
            $this->report->add(
                'slot.inactive',
                $isLarge ? Level::Warning : Level::Notice,
                $name,
                'nobody uses it, and it keeps ' . Text::bytes($kept) . ' of WAL',
                'start its replica; if that is gone for good, drop it (pg_drop_replication_slot) before it fills the disk: Patroni drops only those of its own members',
            );
        }
    }
}
