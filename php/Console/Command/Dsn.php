<?php

declare(strict_types=1);

namespace HaDsn\Console\Command;

use HaDsn\Console\Arguments;
use HaDsn\Console\Cluster;
use HaDsn\Console\Command;
use HaDsn\Console\ExitCode;
use HaDsn\Console\Failure;
use HaDsn\Console\Option;
use HaDsn\Console\Terminal;
use HaDsn\Console\Text;

/**
 * `hadsn dsn`: where an application would connect to now.
 *
 * @internal
 */
final class Dsn implements Command
{
    public static function name(): string
    {
        return 'dsn';
    }

    public static function summary(): string
    {
        return 'the DSN of the writer or of a reader, without a password';
    }

    public static function synopsis(): string
    {
        return 'dsn writer|reader [--conninfo [--show-password]] [OPTION...]';
    }

    public static function description(): string
    {
        return <<<'TEXT'
            Prints what HaDsn::writer() or HaDsn::reader() returns now: a DSN for PDO. It holds no credentials.

            With --conninfo it is a string for libpq: psql, pg_dump, pg_connect(). It names the user if one is known, and leaves out the password: give psql that in PGPASSWORD or a password file. Only --show-password writes the password too, in plain text.

            While there is no leader, "dsn writer" waits for one as an application would, for the option failover_timeout (60s) at most.

            Examples:
            psql "$(hadsn dsn writer --conninfo)"
            pg_dump --dbname="$(hadsn dsn reader --conninfo)" --file=app.sql
            hadsn dsn writer --json
            TEXT;
    }

    public static function options(): array
    {
        return [
            Option::flag('conninfo', 'a string for libpq in place of a DSN for PDO'),
            Option::flag('show-password', 'with --conninfo: the password too, if it is known'),
        ];
    }

    public static function exitCodes(): array
    {
        return [
            ExitCode::DONE => 'printed',
            ExitCode::UNWELL => 'no leader or no replica in time, or no source answers',
            ExitCode::UNUSABLE => 'wrong usage or configuration, or the extension is not loaded',
            ExitCode::INTERRUPTED => 'Ctrl-C ended the wait for a leader',
        ];
    }

    public function run(Arguments $arguments, Terminal $terminal): int
    {
        $role = Operands::one($arguments, ['writer', 'reader']);
        $isConninfo = $arguments->has('conninfo');
        if ($arguments->has('show-password') && !$isConninfo) {
            throw Failure::usage('option --show-password: belongs to --conninfo; a DSN holds no password');
        }
        $cluster = Cluster::find($arguments);
        $terminal->progress($role === 'writer' ? 'looking for the leader ...' : 'looking for a replica ...');
        if ($isConninfo) {
            $text = $this->conninfo($cluster, $role, $arguments->has('show-password'));
        } else {
            $cluster->configure();
            $text = $role === 'writer' ? \HaDsn::writer($cluster->name) : \HaDsn::reader($cluster->name);
        }
        $terminal->writeData($arguments->has('json') ? Text::json(['cluster' => $cluster->name, 'role' => $role, $isConninfo ? 'conninfo' : 'dsn' => $text]) : "$text\n");

        return ExitCode::DONE;
    }

    private function conninfo(Cluster $cluster, string $role, bool $withPassword): string
    {
        $password = $cluster->password();
        if (!$withPassword && $password !== null) {
            // A source without the password can't give it away. Where database servers are asked it is needed all the same.
            putenv("PGPASSWORD=$password");
        }
        \HaDsn::configure($cluster->source->with([], $cluster->user(), $withPassword ? $password : null), $cluster->name);

        return \HaDsn::conninfo($role, $cluster->name);
    }
}
