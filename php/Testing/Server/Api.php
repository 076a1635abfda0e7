<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * Patroni's REST API of all members.
 *
 * @internal
 */
final class Api
{
    /** @var array<int, Request> */
    private array $requests = [];

    /** @var array<string, int> how often it was asked, by member */
    private array $count = [];

    public function __construct(private readonly Cluster $cluster) {}

    public function accept(Node $node): void
    {
        $client = $node->api->accept();
        if ($client !== null) {
            $this->requests[] = new Request($node, $client);
        }
    }

    /** @return array<int, Request> those that are not over */
    public function requests(): array
    {
        return $this->requests = array_filter($this->requests, static fn(Request $request): bool => !$request->isClosed());
    }

    /** @return array<string, int> */
    public function count(): array
    {
        return $this->count;
    }

    /** When {@see tick()} is to be called. */
    public function dueAt(): ?float
    {
        $due = [];
        foreach ($this->requests as $request) {
            if ($request->dueAt !== null && !$request->node->isFrozen) {
                $due[] = $request->dueAt;
            }
        }

        return $due === [] ? null : min($due);
    }

    public function hear(Request $request): void
    {
        if (!$request->client->receive()) {
            $request->client->close();
        } elseif ($request->dueAt === null && str_contains($request->client->pending(), "\r\n\r\n")) {
            $this->count[$request->node->name] = 1 + ($this->count[$request->node->name] ?? 0);
            $request->dueAt = microtime(true) + $request->node->delay;
        }
    }

    public function tick(float $now): void
    {
        foreach ($this->requests() as $request) {
            if (!$request->node->isUp) {
                $request->client->close();
            } elseif ($request->dueAt !== null && $now >= $request->dueAt && !$request->node->isFrozen) {
                $request->dueAt = INF;
                $this->answer($request);
            }
        }
    }

    private function answer(Request $request): void
    {
        [$method, $target] = explode(' ', $request->client->pending(), 3) + ['', ''];
        $path = explode('?', $target, 2)[0];
        $node = $request->node;
        $leads = $this->cluster->leads($node);
        $itself = $this->cluster->describeItself($node);
        [$status, $body] = match ($path) {
            '/cluster' => [200, $this->cluster->describe()],
            '/patroni' => [$node->isStarting ? 503 : 200, $itself],
            '/history' => [200, []],
            '/', '/primary', '/read-write', '/master', '/leader' => [$leads ? 200 : 503, $itself],
            '/replica' => [$leads || $node->isStarting || ($node->tags['noloadbalance'] ?? false) === true ? 503 : 200, $itself],
            '/health' => [$node->isStarting ? 503 : 200, $itself],
            default => [404, ['error' => 'not known to this fake']],
        };
        $text = json_encode($body, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES);
        $length = strlen($text);
        $reason = $status === 200 ? 'OK' : 'Not OK';
        $request->client->send("HTTP/1.1 $status $reason\r\nContent-Type: application/json\r\nContent-Length: $length\r\nConnection: close\r\n\r\n" . ($method === 'HEAD' ? '' : $text));
        $request->client->end();
    }
}
