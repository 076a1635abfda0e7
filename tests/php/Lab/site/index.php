<?php

/*
 * A small site in plain PHP: POST /NUMBER writes it, with a connection that the process keeps for its next requests. It says what has become of it.
 */

declare(strict_types=1);

use HaDsn\Phase;
use HaDsn\Verdict;

/** @return array{int, string} status and what is to be said */
function write(int $number): array
{
    for ($attempt = 1; ; ++$attempt) {
        $phase = Phase::Connect;
        try {
            $pdo = new PDO('hadsn:', 'app', 'app', [PDO::ATTR_PERSISTENT => true]);
            $phase = Phase::Autocommit;
            $pdo->prepare('INSERT INTO visit (number) VALUES (?)')->execute([$number]);

            return [200, 'written'];
        } catch (PDOException $e) {
            $verdict = HaDsn::verdict($e, $phase);
            if ($verdict === Verdict::Retry && $phase === Phase::Autocommit && $attempt < 3) {
                // Whoever holds the connection gets it again.
                unset($pdo, $e);
                continue;
            }
            error_log($e->getMessage());

            return match (true) {
                $phase === Phase::Connect => [503, 'not written'],
                $verdict === Verdict::InDoubt => [500, 'unknown'],
                default => [500, get_class($e) . ': ' . $e->getMessage()],
            };
        }
    }
}

[$status, $text] = write((int) substr($_SERVER['REQUEST_URI'], 1));
http_response_code($status);
echo $text;
