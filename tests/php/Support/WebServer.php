<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * PHP's built-in web server: one process that serves one request after the other.
 */
final class WebServer
{
    private readonly Directory $directory;
    private readonly Process $process;
    private readonly string $address;

    /**
     * @param string                $script what answers every request, with `<?php`
     * @param array<string, string> $ini
     */
    public function __construct(string $script, array $ini = [])
    {
        $this->directory = new Directory();
        $file = $this->directory->write('index.php', $script);
        $this->process = new Process([...Php::command($ini), '-S', '127.0.0.1:0', $file], directory: $this->directory->path);
        $this->address = $this->process->waitFor('~\(http://(127\.0\.0\.1:\d+)\) started~', 20.0, 2)[1];
    }

    /**
     * Asks, and returns the answer, which is JSON.
     *
     * @param array<string, string> $query
     */
    public function get(array $query): mixed
    {
        $context = stream_context_create(['http' => ['timeout' => 30.0, 'ignore_errors' => true, 'protocol_version' => 1.0]]);
        $answer = (string) file_get_contents("http://$this->address/?" . http_build_query($query), false, $context);

        return (new Outcome(0, $answer, ''))->json();
    }

    public function stop(): void
    {
        $this->process->stop();
    }
}
