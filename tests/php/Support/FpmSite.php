<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * An application as it is served for real: nginx in front, PHP-FPM behind it, each with its own configuration, on loopback. What is not a
 * file below the root goes to `index.php`.
 */
final class FpmSite
{
    private const CHILDREN = 4;

    /** What requests begin with: `http://127.0.0.1:PORT`. */
    public readonly string $url;

    private readonly Directory $directory;
    private readonly Process $fpm;
    private readonly Process $nginx;

    /**
     * @param string                $root        the folder that holds index.php
     * @param array<string, string> $environment what the pool's `env[…]` set
     * @param array<string, string> $ini
     */
    public function __construct(private readonly string $root, array $environment = [], array $ini = [])
    {
        $this->directory = new Directory();
        $this->fpm = $this->startFpm($environment, $ini);
        [$this->nginx, $this->url] = $this->startNginx();
    }

    public function __destruct()
    {
        $this->stop();
    }

    public function request(string $method, string $path, ?string $cookie = null): Request
    {
        return new Request($method, "$this->url/$path", $cookie);
    }

    public function ask(string $method, string $path, ?string $cookie = null): Reply
    {
        return $this->request($method, $path, $cookie)->send();
    }

    /** What the two have logged so far, the application's standard error included. */
    public function log(): string
    {
        return implode('', array_map(file_get_contents(...), glob("{$this->directory->path}/*.log") ?: []));
    }

    /** Ends both, with their children. */
    public function stop(): void
    {
        foreach ([$this->nginx ?? null, $this->fpm ?? null] as $process) {
            if ($process?->isRunning()) {
                $process->signal(SIGTERM);
                $process->wait(20.0);
            }
        }
    }

    /**
     * @param array<string, string> $environment
     * @param array<string, string> $ini
     */
    private function startFpm(array $environment, array $ini): Process
    {
        $variables = '';
        foreach ($environment as $name => $value) {
            $variables .= "env[$name] = '$value'\n";
        }
        $path = $this->directory->path;
        $children = self::CHILDREN;
        $user = self::isRoot() ? "user = root\ngroup = root" : '';
        $configuration = $this->directory->write('fpm.conf', <<<CONF
            [global]
            error_log = $path/fpm.log
            [www]
            $user
            listen = $path/fpm.sock
            pm = static
            pm.max_children = $children
            catch_workers_output = yes
            decorate_workers_output = no
            $variables
            CONF);
        $program = '/usr/sbin/php-fpm' . PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION;
        // Without a terminal to write to it logs to its file.
        $process = $this->start([$program, '--nodaemonize', '--fpm-config', $configuration, ...(self::isRoot() ? ['-R'] : []), ...Php::options($ini)]);
        $this->await($process, fn(): bool => file_exists("$path/fpm.sock"));

        return $process;
    }

    /** @return array{Process, string} */
    private function startNginx(): array
    {
        for ($attempt = 1; ; ++$attempt) {
            $address = Loopback::free();
            $process = $this->start(['/usr/sbin/nginx', '-e', 'nginx.log', '-p', $this->directory->path, '-c', $this->nginxConfiguration($address)]);
            try {
                $this->await($process, static fn(): bool => Loopback::accepts($address));

                return [$process, "http://$address"];
            } catch (\RuntimeException $e) {
                // Somebody else may have taken the port meanwhile.
                if ($attempt === 5 || !str_contains($this->log(), 'Address already in use')) {
                    throw $e;
                }
            }
        }
    }

    private function nginxConfiguration(string $address): string
    {
        $user = self::isRoot() ? 'user root;' : '';
        $folders = implode("\n", array_map(
            static fn(string $kind): string => "{$kind}_temp_path $kind;",
            ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'],
        ));

        return $this->directory->write('nginx.conf', <<<CONF
            daemon off;
            $user
            worker_processes 1;
            pid nginx.pid;
            error_log nginx.log;
            events {}
            http {
                access_log off;
                $folders
                server {
                    listen $address;
                    root $this->root;
                    location / {
                        try_files \$uri /index.php\$is_args\$args;
                    }
                    location ~ ^/index\.php(/|$) {
                        include /etc/nginx/fastcgi_params;
                        fastcgi_split_path_info ^(.+?\.php)(/.*)$;
                        fastcgi_param PATH_INFO \$fastcgi_path_info;
                        fastcgi_param SCRIPT_FILENAME \$document_root\$fastcgi_script_name;
                        fastcgi_pass unix:{$this->directory->path}/fpm.sock;
                    }
                }
            }
            CONF);
    }

    /**
     * Starts one that ends, with its children, when this process does, however that happens.
     *
     * @param list<string> $command
     */
    private function start(array $command): Process
    {
        // What it says before it has its log goes to a file too: nobody reads a pipe.
        $command = ['/bin/sh', '-c', 'exec "$@" >>"$0" 2>&1', "{$this->directory->path}/start.log", ...$command];

        return new Process(['/usr/bin/setpriv', '--pdeathsig', 'TERM', ...$command], directory: $this->directory->path, isGroup: true);
    }

    private function await(Process $process, \Closure $isUp): void
    {
        $deadline = microtime(true) + 20.0;
        while (!$isUp()) {
            if (!$process->isRunning() || microtime(true) > $deadline) {
                throw new \RuntimeException("the web server did not start:\n{$this->log()}");
            }
            usleep(5_000);
        }
    }

    private static function isRoot(): bool
    {
        return posix_geteuid() === 0;
    }
}
