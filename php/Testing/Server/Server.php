<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * The loop of the process behind a {@see \HaDsn\Testing\FakeCluster}.
 *
 * What stands in an order depends on what is to be done; a member is missing where all are meant.
 *
 * @phpstan-type Order array{
 *     number: int, do: string, to: string|null, member: string, seconds: float|null, bytes: int|null, before: bool,
 *     statement: string, pattern: string, nth: int, action: array<string, mixed>, pid: int
 * }
 *
 * @internal
 */
final class Server
{
    private readonly Cluster $cluster;
    private readonly Proxy $proxy;
    private readonly Api $api;
    private readonly bool $hasServer;

    /** @var array<string, Node> */
    private array $nodes = [];

    /**
     * @param array{members: list<array{name: string, role: string, lag: int|null, tags: array<string, bool|int|float|string|null>, host: string|null, port: int}>, upstream: string|null, used: list<int>, system: string} $order
     */
    public function __construct(array $order)
    {
        $this->hasServer = $order['upstream'] !== null;
        $used = array_fill_keys($order['used'], true);
        foreach ($order['members'] as $member) {
            [$postgres, $api] = [new Door($used), new Door($used)];
            $this->nodes[$member['name']] = new Node(
                $member['name'],
                $member['role'],
                $member['lag'],
                $member['tags'],
                $member['host'] ?? '127.0.0.1',
                $member['host'] === null ? $postgres->port : $member['port'],
                $postgres,
                $api,
            );
        }
        $this->proxy = new Proxy(new Journal(), $order['upstream']);
        $this->cluster = new Cluster($this->nodes, $order['system'], $this->proxy->affect(...));
        $this->proxy->serve($this->cluster);
        $this->api = new Api($this->cluster);
    }

    /** Until standard input ends, or the process that has started this one: a child of that one may still have the other end. */
    public function run(): void
    {
        $parent = self::parent();
        $refusal = null;
        $this->proxy->connect($refusal)?->close();
        if ($refusal !== null && $this->hasServer) {
            $this->say(['mistake' => $refusal]);

            return;
        }
        $this->say(['ports' => array_map(static fn(Node $node): array => ['postgres' => $node->postgres->port, 'api' => $node->api->port], $this->nodes)]);
        $looked = microtime(true);
        while ($this->turn()) {
            $now = microtime(true);
            if ($now - $looked > 1.0) {
                if (self::parent() !== $parent) {
                    return;
                }
                $looked = $now;
            }
            $this->cluster->tick($now);
            $this->api->tick($now);
        }
    }

    /** Waits for something to happen, and deals with it. Whether it goes on. */
    private function turn(): bool
    {
        $read = ['in' => STDIN];
        $write = [];
        foreach ($this->nodes as $name => $node) {
            foreach (['postgres' => $node->postgres, 'api' => $node->api] as $kind => $door) {
                if ($door->listener() !== null && !$node->isFrozen) {
                    $read["$kind $name"] = $door->listener();
                }
            }
        }
        $links = $this->proxy->links();
        foreach ($links as $id => $link) {
            if ($link->node->isFrozen) {
                continue;
            }
            // Who sends more than the other side takes has to wait.
            if ($link->server?->isFull() !== true) {
                $read["client $id"] = $link->client->socket;
            }
            if ($link->client->wantsToWrite()) {
                $write["client $id"] = $link->client->socket;
            }
            if ($link->server !== null) {
                if (!$link->client->isFull()) {
                    $read["server $id"] = $link->server->socket;
                }
                if ($link->server->wantsToWrite()) {
                    $write["server $id"] = $link->server->socket;
                }
            }
        }
        $requests = $this->api->requests();
        foreach ($requests as $id => $request) {
            if (!$request->node->isFrozen) {
                $read["request $id"] = $request->client->socket;
                if ($request->client->wantsToWrite()) {
                    $write["request $id"] = $request->client->socket;
                }
            }
        }
        $none = null;
        $microseconds = (int) (max(0.0, min(1.0, min($this->cluster->dueAt() ?? INF, $this->api->dueAt() ?? INF) - microtime(true))) * 1e6);
        if (stream_select($read, $write, $none, 0, $microseconds) === false) {
            $reason = error_get_last()['message'] ?? 'stream_select() has failed';

            // 4 is EINTR: this process was stopped for a while.
            return str_contains($reason, '[4]') ? true : throw new \RuntimeException($reason);
        }
        foreach ($this->nodes as $name => $node) {
            if (isset($read["postgres $name"])) {
                $this->proxy->accept($node);
            }
            if (isset($read["api $name"])) {
                $this->api->accept($node);
            }
        }
        foreach ($requests as $id => $request) {
            if (isset($write["request $id"])) {
                $request->client->flush();
            }
            if (isset($read["request $id"])) {
                $this->api->hear($request);
            }
        }
        foreach ($links as $id => $link) {
            if (isset($write["client $id"])) {
                $link->client->flush();
            }
            if (isset($write["server $id"])) {
                $link->server?->flush();
            }
            if (isset($read["server $id"])) {
                $link->hearServer();
            }
            if (isset($read["client $id"]) && !$link->isClosed()) {
                $link->hearClient();
            }
        }

        // Last: whoever asks what has come means what was sent before.
        return !isset($read['in']) || $this->obey();
    }

    /** Does what a line on standard input says, and answers. False: it has ended. */
    private function obey(): bool
    {
        $line = fgets(STDIN);
        if ($line === false) {
            return false;
        }
        try {
            /** @var Order $order */
            $order = json_decode($line, true, 16, JSON_THROW_ON_ERROR);
            $mistake = $this->proxy->takeMistake();
            $answer = $mistake === null ? ['result' => $this->do($order)] : ['mistake' => $mistake];
        } catch (\DomainException $mistake) {
            $answer = ['mistake' => $mistake->getMessage()];
        }
        $this->say(['number' => $order['number']] + $answer);

        return true;
    }

    /**
     * @param Order $order
     */
    private function do(array $order): mixed
    {
        $this->cluster->tick(microtime(true));
        switch ($order['do']) {
            case 'switchover':
                $this->cluster->switchover($order['to'], (float) $order['seconds']);
                break;
            case 'crash':
                $this->cluster->crash(null, $order['to'], (float) $order['seconds']);
                break;
            case 'demote':
                $this->cluster->demote($order['to']);
                break;
            case 'noLeader':
                $this->cluster->noLeader();
                break;
            case 'elect':
                $this->cluster->elect($order['to']);
                break;
            case 'stop':
                $this->cluster->stop($order['member']);
                break;
            case 'start':
                $this->cluster->start($order['member']);
                break;
            case 'freeze':
                $this->cluster->freeze($order['member']);
                break;
            case 'thaw':
                $this->cluster->thaw($order['member']);
                break;
            case 'lag':
                $this->cluster->node($order['member'])->lag = $order['bytes'];
                break;
            case 'slow':
                foreach (!isset($order['member']) ? $this->nodes : [$this->cluster->node($order['member'])] as $node) {
                    $node->delay = $order['seconds'] === null ? INF : (float) $order['seconds'];
                }
                break;
            case 'trap':
                $this->proxy->set(new Trap($order['before'], $order['statement'], $order['pattern'], $order['nth'], $order['action']));
                break;
            case 'disarm':
                $this->proxy->disarm();
                break;
            case 'armed':
                return $this->proxy->armed();
            case 'statements':
                return $this->proxy->journal->entries();
            case 'requests':
                return array_sum($this->api->count());
            case 'describe':
                return $this->cluster->describe();
            case 'memberOf':
                foreach ($this->proxy->links() as $link) {
                    if ($link->pid === $order['pid']) {
                        return $link->node->name;
                    }
                }

                return null;
            default:
                throw new \DomainException("order \"{$order['do']}\" is not known");
        }

        return $this->cluster->leader();
    }

    /** The process that has started this one, or has taken it over; null where there is no /proc. */
    private static function parent(): ?string
    {
        $stat = is_readable('/proc/self/stat') ? (string) file_get_contents('/proc/self/stat') : '';

        // proc_pid_stat(5): behind the name, in brackets, its state and its parent.
        return preg_match('/.*\) \S (\d+) /s', $stat, $found) === 1 ? $found[1] : null;
    }

    private function say(mixed $answer): void
    {
        fwrite(STDOUT, json_encode($answer, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
    }
}
