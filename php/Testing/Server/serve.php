<?php

/*
 * The process behind a FakeCluster, which talks to it by lines of JSON on its standard input and output; the first says what it is to be. Ends with
 * the other side, or with the process that has started it.
 */

declare(strict_types=1);

namespace HaDsn\Testing\Server;

// A client that hangs up early, or a signal, is no news, and these say it by what they return too.
set_error_handler(static fn(int $level, string $text): bool => preg_match('/^(fread|fwrite|stream_select|stream_socket_accept)\(\): /', $text) === 1);

require __DIR__ . '/../Fate.php';
foreach (['Wire', 'Channel', 'Door', 'Node', 'Cluster', 'Trap', 'Journal', 'Reply', 'Disguise', 'Link', 'Proxy', 'Request', 'Api', 'Server'] as $class) {
    require __DIR__ . "/$class.php";
}

(new Server(json_decode((string) fgets(STDIN), true, 16, JSON_THROW_ON_ERROR)))->run();
