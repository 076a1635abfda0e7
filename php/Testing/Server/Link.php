<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

use HaDsn\Testing\Fate;

/**
 * A client's connection to a member, and the one to the real server behind it. Passes on what both say, makes a session that of a replica, and
 * knows when a statement comes and when it has taken effect.
 *
 * @internal
 */
final class Link
{
    /** How long the first message of a client may be, in bytes; as PostgreSQL has it. */
    private const LONGEST_FIRST = 10_000;

    private static int $count = 0;

    public readonly int $number;
    public ?Channel $server = null;

    /** The process at the server, as both sides know it. */
    public ?int $pid = null;
    private bool $hasStarted = false;
    private bool $isOver = false;

    /** Whether the session at the server is one of a replica; null: there is none. */
    private ?bool $isReplica = null;

    /** I: idle, T: in a transaction, E: in a failed one. */
    private string $status = 'I';

    /** @var list<Reply> */
    private array $replies = [];

    /** Messages of the extended protocol that wait for their Sync: nothing can be put between them. */
    private string $held = '';

    /** @var list<string> the statements that they execute */
    private array $executed = [];

    /** What a Flush has sent on its way before. */
    private ?Reply $flushed = null;

    /** @var array<string, string> */
    private array $prepared = [];

    /** @var array<string, string> */
    private array $portals = [];

    public function __construct(public readonly Node $node, public readonly Channel $client, private readonly Proxy $proxy)
    {
        $this->number = ++self::$count;
    }

    /** The client has said something, or has gone. */
    public function hearClient(): void
    {
        $goesOn = $this->client->receive();
        while (($message = $this->client->take($this->hasStarted ? 1 : 0)) !== null) {
            match (true) {
                $this->isOver => $this->inVain($message),
                $this->hasStarted => $this->fromClient($message),
                default => $this->first($message),
            };
        }
        if (!$goesOn || $this->speaksSomethingElse()) {
            $this->close();
        }
        $this->flush();
    }

    /** The server has said something, or has gone. */
    public function hearServer(): void
    {
        if ($this->server === null) {
            return;
        }
        $goesOn = $this->server->receive();
        while (!$this->isOver && $this->server !== null && ($message = $this->server->take(1)) !== null) {
            $this->fromServer($message);
        }
        if (!$goesOn && !$this->isOver) {
            $this->end('');
        }
        $this->flush();
    }

    /** Ends it for the client: with these last words. */
    public function end(string $lastWords): void
    {
        if (!$this->isOver) {
            $this->client->send($lastWords);
            $this->client->end();
            $this->leaveServer();
        }
    }

    public function close(): void
    {
        $this->client->close();
        $this->leaveServer();
    }

    public function isClosed(): bool
    {
        return !is_resource($this->client->socket);
    }

    /** Whether the session at the server is one of a replica; null: there is none. */
    public function isReplica(): ?bool
    {
        return $this->isReplica;
    }

    /** Makes the session what its member is by now, as soon as it can be told. */
    public function align(): void
    {
        $isReplica = !$this->proxy->leads($this->node);
        if ($this->isOver || $this->isReplica === null || $this->isReplica === $isReplica || $this->replies !== []) {
            return;
        }
        if ($this->status === 'I') {
            $this->isReplica = $isReplica;
            $this->client->send(Wire::parameter('in_hot_standby', $isReplica ? 'on' : 'off'));
            $this->inject('SET default_transaction_read_only = ' . ($isReplica ? 'on' : 'off'));
        }
    }

    /** It has become a replica's while a statement is on its way: that one is refused too. */
    public function alignAtOnce(): void
    {
        $this->align();
        if ($this->status === 'T' && $this->isReplica === false && !$this->proxy->leads($this->node)) {
            // Until the transaction is over; then align() makes it last.
            $this->inject('SET transaction_read_only = on');
        }
    }

    private function speaksSomethingElse(): bool
    {
        $first = $this->hasStarted ? '' : $this->client->pending();

        return strlen($first) >= 4 && Wire::number($first, 0) > self::LONGEST_FIRST;
    }

    private function flush(): void
    {
        $this->client->flush();
        $this->server?->flush();
    }

    /** It is over. What was to happen when the server has done something has not happened. */
    private function leaveServer(): void
    {
        $this->isOver = true;
        foreach ($this->replies as $reply) {
            if ($reply->trap !== null) {
                $this->proxy->set($reply->trap);
            }
        }
        $this->replies = [];
        $this->server?->close();
        $this->server = null;
    }

    private function first(string $message): void
    {
        switch (Wire::number($message, 4)) {
            case Wire::TLS_REQUEST:
            case Wire::GSS_REQUEST:
                $this->client->send('N');

                return;
            case Wire::CANCEL_REQUEST:
                $refusal = null;
                $server = $this->proxy->connect($refusal);
                if ($server !== null) {
                    $server->send($message);
                    $server->end();
                    $this->server = $server;
                }

                return;
        }
        if ($this->node->isStarting || $this->proxy->isFull()) {
            $this->end($this->node->isStarting ? Wire::fatal('57P03', 'the database system is starting up') : Wire::fatal('53300', 'sorry, too many clients already: more than a FakeCluster takes'));

            return;
        }
        $refusal = null;
        $this->server = $this->proxy->connect($refusal);
        if ($this->server === null) {
            $this->end(Wire::fatal('3D000', (string) $refusal));

            return;
        }
        $this->hasStarted = true;
        $this->isReplica = !$this->proxy->leads($this->node);
        $this->replies[] = new Reply();
        $this->server->send($this->isReplica ? Wire::withParameter($message, 'default_transaction_read_only', 'on') : $message);
    }

    private function fromClient(string $message): void
    {
        switch ($message[0]) {
            case 'Q':
                [$sql] = Wire::texts($message, 1);
                $reply = new Reply();
                if (!$this->isStopped($sql, $reply)) {
                    $this->send(Wire::query($this->proxy->disguise($sql, $this->node)), $reply);
                }

                return;
            case 'P':
                [$name, $sql] = Wire::texts($message, 2);
                $this->prepared[$name] = $sql;
                $this->held .= Wire::message('P', "$name\0" . $this->proxy->disguise($sql, $this->node) . substr($message, 5 + strlen("$name\0$sql")));

                return;
            case 'B':
                [$portal, $name] = Wire::texts($message, 2);
                $this->portals[$portal] = $this->prepared[$name] ?? '';
                $this->held .= $message;

                return;
            case 'E':
                $this->executed[] = $this->portals[Wire::texts($message, 1)[0]] ?? '';
                $this->held .= $message;

                return;
            case 'D':
            case 'C':
                $this->held .= $message;

                return;
            case 'H':
            case 'S':
                $this->release($message);

                return;
            case 'F':
                $this->send($message, new Reply());

                return;
            default:
                $this->server?->send($message);
        }
    }

    /** Sends what was held for this Sync or Flush. */
    private function release(string $last): void
    {
        if ($this->held === '' && ($this->replies[0]->isCopying ?? false)) {
            // The server has passed over the Sync that came before the data, and answers this one instead.
            $this->server?->send($last);

            return;
        }
        [$reply, $messages, $executed] = [$this->flushed ?? new Reply(), $this->held, $this->executed];
        [$this->held, $this->executed] = ['', []];
        foreach ($executed as $sql) {
            if ($this->isStopped($sql, $reply)) {
                return;
            }
        }
        $this->flushed === null ? $this->send($messages . $last, $reply) : $this->server?->send($messages . $last);
        $this->flushed = $last[0] === 'H' ? $reply : null;
    }

    private function send(string $messages, Reply $reply): void
    {
        $this->replies[] = $reply;
        $this->server?->send($messages);
    }

    /** The client has not noticed yet that its connection is over. */
    private function inVain(string $message): void
    {
        if (!$this->hasStarted) {
            return;
        }
        if ($message[0] === 'P') {
            // This counts already, and its Bind must not count what had the name before.
            unset($this->prepared[Wire::texts($message, 1)[0]]);
        }
        $sql = match ($message[0]) {
            'Q' => Wire::texts($message, 1)[0],
            'P' => Wire::texts($message, 2)[1],
            'B' => $this->prepared[Wire::texts($message, 2)[1]] ?? null,
            default => null,
        };
        if ($sql !== null) {
            $this->proxy->journal->settle($this->proxy->journal->add($sql, $this->node->name, $this->number), Fate::NotSent);
        }
    }

    private function fromServer(string $message): void
    {
        $reply = $this->replies[0] ?? null;
        switch ($message[0]) {
            case 'K':
                $this->pid = Wire::number($message, 5);
                break;
            case 'S':
                if ($this->isReplica === true && Wire::texts($message, 1) === ['in_hot_standby']) {
                    $message = Wire::parameter('in_hot_standby', 'on');
                }
                if ($reply?->isOurs === true) {
                    $this->client->send($message);
                }
                break;
            case 'E':
                if ($reply !== null) {
                    $reply->hasFailed = true;
                }
                break;
            case 'G':
                // COPY … FROM STDIN: nothing goes on before the client knows that it may send.
                if ($reply !== null) {
                    $reply->isCopying = true;
                    $this->client->send($reply->withheld . $message);
                    $reply->withheld = '';
                }

                return;
            case 'Z':
                $this->status = $message[5];
                $this->complete($message);

                return;
        }
        if ($reply === null) {
            $this->client->send($message);
        } elseif ($reply->trap !== null) {
            $reply->withheld .= $message;
        } elseif (!$reply->isOurs) {
            $this->client->send($message);
        }
    }

    /** A ReadyForQuery has come. */
    private function complete(string $message): void
    {
        $reply = array_shift($this->replies);
        if ($reply === null || $reply->isOurs) {
            $this->align();

            return;
        }
        $trap = $reply->hasFailed ? null : $reply->trap;
        $fate = match (true) {
            $reply->hasFailed => Fate::Refused,
            $trap !== null => Fate::Unanswered,
            default => Fate::Done,
        };
        foreach ($reply->statements as $statement) {
            $this->proxy->journal->settle($statement, $fate);
        }
        if ($trap !== null) {
            $this->proxy->spring($trap, $this);
            // A trap that leaves the connection alone leaves the answer too.
            foreach ($this->isOver ? [] : $reply->statements as $statement) {
                $this->proxy->journal->settle($statement, Fate::Done);
            }
        } elseif ($reply->trap !== null) {
            $this->proxy->set($reply->trap);
        }
        $this->client->send($reply->withheld . $message);
        $this->align();
    }

    /** A statement has come. Whether something keeps it from the server. */
    private function isStopped(string $sql, Reply $reply): bool
    {
        if (str_contains($sql, Journal::OURS)) {
            return false;
        }
        $number = $this->proxy->journal->add($sql, $this->node->name, $this->number);
        [$before, $after] = $this->proxy->trapsFor($sql);
        if ($before !== null) {
            $this->proxy->spring($before, $this);
        }
        if ($after !== null && ($this->isOver || $reply->trap !== null)) {
            // It is meant for a statement that takes effect, and there is one trap at a time.
            $this->proxy->set($after);
        } elseif ($after !== null) {
            $reply->trap = $after;
        }
        if ($this->isOver) {
            $this->proxy->journal->settle($number, Fate::NotSent);

            return true;
        }
        $reply->statements[] = $number;

        return false;
    }

    /** Runs a statement that the client knows nothing of. */
    private function inject(string $sql): void
    {
        $this->send(Wire::query($sql), new Reply(isOurs: true));
    }
}
