<?php

/*
 * The process behind Proxy. Arguments: the address of a PostgreSQL server and a directory. It passes on what clients (without
 * TLS) and the server say, and looks at every COMMIT: what the file `cut` in the directory says decides what becomes of
 * it. A cut is made once. Ends with its standard input.
 */

declare(strict_types=1);

// A client that hangs up early is no news.
error_reporting(E_ALL & ~E_NOTICE & ~E_WARNING);

final class Link
{
    public string $fromClient = '';
    public string $fromServer = '';
    public bool $hasStarted = false;
    public bool $cutsAnswer = false;

    /**
     * @param resource $client
     * @param resource $server
     */
    public function __construct(public readonly mixed $client, public readonly mixed $server) {}

    public function close(): void
    {
        fclose($this->client);
        fclose($this->server);
    }
}

final class Proxy
{
    /** @var array<int, Link> */
    private array $links = [];

    /** @param resource $listener */
    public function __construct(private readonly mixed $listener, private readonly string $server, private readonly string $directory) {}

    public function run(): void
    {
        while (true) {
            $read = [STDIN, $this->listener];
            foreach ($this->links as $link) {
                array_push($read, $link->client, $link->server);
            }
            $none = null;
            if (stream_select($read, $none, $none, 60) === false) {
                continue;
            }
            if (in_array(STDIN, $read, true)) {
                return;
            }
            if (in_array($this->listener, $read, true)) {
                $client = stream_socket_accept($this->listener, 0);
                $server = stream_socket_client("tcp://$this->server", $code, $message, 3.0);
                if ($client !== false && $server !== false) {
                    $this->links[] = new Link($client, $server);
                } elseif ($client !== false) {
                    fclose($client);
                }
            }
            foreach ($this->links as $key => $link) {
                $goesOn = (!in_array($link->client, $read, true) || $this->hearClient($link))
                    && (!in_array($link->server, $read, true) || $this->hearServer($link));
                if (!$goesOn) {
                    $link->close();
                    unset($this->links[$key]);
                }
            }
        }
    }

    /** Whether the connection goes on. */
    private function hearClient(Link $link): bool
    {
        $bytes = fread($link->client, 65536);
        if ($bytes === '' || $bytes === false) {
            return false;
        }
        $link->fromClient .= $bytes;
        if (!$link->hasStarted) {
            // The start-up message has no type.
            $length = strlen($link->fromClient) < 4 ? PHP_INT_MAX : unpack('N', $link->fromClient)[1];
            if (strlen($link->fromClient) < $length) {
                return true;
            }
            $link->hasStarted = true;
            fwrite($link->server, substr($link->fromClient, 0, $length));
            $link->fromClient = substr($link->fromClient, $length);
        }
        while (($message = self::take($link->fromClient)) !== null) {
            if ($message[0] === 'Q' && strtoupper(substr($message, 5, 6)) === 'COMMIT') {
                $cut = trim((string) file_get_contents("$this->directory/cut"));
                file_put_contents("$this->directory/cut", '');
                file_put_contents("$this->directory/commits", "$cut\n", FILE_APPEND);
                if ($cut === 'before') {
                    return false;
                }
                $link->cutsAnswer = $cut === 'after';
            }
            fwrite($link->server, $message);
        }

        return true;
    }

    /** Whether the connection goes on. */
    private function hearServer(Link $link): bool
    {
        $bytes = fread($link->server, 65536);
        if ($bytes === '' || $bytes === false) {
            return false;
        }
        if (!$link->cutsAnswer) {
            return fwrite($link->client, $bytes) !== false;
        }
        $link->fromServer .= $bytes;
        while (($message = self::take($link->fromServer)) !== null) {
            // CommandComplete, with the name of the command: the server has done it.
            if ($message[0] === 'C' && str_starts_with(substr($message, 5), 'COMMIT')) {
                return false;
            }
        }

        return true;
    }

    /** Takes a whole message off a buffer: its type, its length and what it says. */
    private static function take(string &$buffer): ?string
    {
        if (strlen($buffer) < 5) {
            return null;
        }
        $length = 1 + unpack('N', $buffer, 1)[1];
        if (strlen($buffer) < $length) {
            return null;
        }
        $message = substr($buffer, 0, $length);
        $buffer = substr($buffer, $length);

        return $message;
    }
}

$listener = stream_socket_server('tcp://127.0.0.1:0', $code, $message);
if ($listener === false) {
    fwrite(STDERR, "$message\n");
    exit(1);
}
echo stream_socket_get_name($listener, false), "\n";
(new Proxy($listener, $argv[1], $argv[2]))->run();
