<?php

declare(strict_types=1);

namespace HaDsn\Console;

use HaDsn\Console\Command\Bench;
use HaDsn\Console\Command\Doctor;
use HaDsn\Console\Command\Dsn;
use HaDsn\Console\Command\Forget;
use HaDsn\Console\Command\Status;
use HaDsn\Console\Command\Watch;

/**
 * The command line `vendor/bin/hadsn`.
 *
 * @internal
 */
final class Application
{
    /** @var list<class-string<Command>> */
    public const COMMANDS = [Status::class, Watch::class, Dsn::class, Doctor::class, Forget::class, Bench::class];

    /**
     * Runs a command to its end, and returns the exit code.
     *
     * @param list<string> $words what stands behind the program's name
     */
    public static function main(array $words): int
    {
        $terminal = new Terminal(STDOUT, STDERR);
        try {
            return self::run($words, $terminal);
        } catch (Failure $failure) {
            return self::end($terminal, $failure->getMessage(), $failure->exitCode);
        } catch (\HaDsn\ConfigException $error) {
            return self::end($terminal, Text::line($error->getMessage()), ExitCode::UNUSABLE);
        } catch (\HaDsn\Exception|\PDOException $error) {
            $cause = $error->getPrevious();
            $because = $cause === null ? '' : ': ' . Text::line($cause->getMessage());

            return self::end($terminal, Text::line($error->getMessage()) . $because, Interrupt::hasCome() ? ExitCode::INTERRUPTED : ExitCode::UNWELL);
        } catch (\Throwable $fault) {
            // No stack trace: it would show arguments.
            $place = basename($fault->getFile()) . ':' . $fault->getLine();

            return self::end($terminal, 'a fault of its own, please report it: ' . get_class($fault) . " in $place: " . Text::line($fault->getMessage()), ExitCode::FAULT);
        }
    }

    /** @param list<string> $words */
    private static function run(array $words, Terminal $terminal): int
    {
        $command = self::command($words);
        $known = [...Option::common(), ...($command === null ? [] : $command::options())];
        $arguments = Arguments::parse($words, $known);
        if ($arguments->has('no-color')) {
            $terminal->withoutColors();
        }
        if ($arguments->has('version')) {
            $terminal->write(self::version());

            return ExitCode::DONE;
        }
        $operands = $arguments->operands;
        $isHelp = $arguments->has('help') || $command === null && ($operands[0] ?? null) === 'help';
        if ($isHelp && $command === null && ($operands[0] ?? null) === 'help' && isset($operands[1])) {
            $command = self::named($operands[1]);
        }
        if ($isHelp) {
            $terminal->write($command === null ? Help::overview($terminal) : Help::of($command, $terminal));

            return ExitCode::DONE;
        }
        if ($command === null) {
            throw Failure::usage('no command: expected one of ' . implode(', ', self::names()));
        }
        if (!Extension::isLoaded() && $command !== Doctor::class) {
            throw Failure::unusable('the extension hadsn is not loaded: ' . Text::line(Extension::howToLoad())
                . '; without it there is hadsn doctor, which checks the cluster all the same');
        }
        Interrupt::listen();

        return (new $command())->run(Arguments::parse(self::behind($words), $known), $terminal);
    }

    /**
     * The command that the words name; options may stand before it.
     *
     * @param list<string> $words
     *
     * @return class-string<Command>|null
     */
    private static function command(array $words): ?string
    {
        $position = self::position($words);

        return $position === null || $words[$position] === 'help' ? null : self::named($words[$position]);
    }

    /**
     * The words without the command's name.
     *
     * @param list<string> $words
     *
     * @return list<string>
     */
    private static function behind(array $words): array
    {
        unset($words[(int) self::position($words)]);

        return array_values($words);
    }

    /**
     * Where the command's name stands; null if there is none, or an option before it that no command has.
     *
     * @param list<string> $words
     */
    private static function position(array $words): ?int
    {
        $options = array_merge(Option::common(), ...array_map(
            /** @param class-string<Command> $class */
            static fn(string $class): array => $class::options(),
            self::COMMANDS,
        ));
        $takesValue = array_combine(array_column($options, 'name'), array_map(static fn(Option $option): bool => $option->value !== null, $options));
        for ($i = 0; $i < count($words); ++$i) {
            $word = $words[$i];
            if (!str_starts_with($word, '-')) {
                return $i;
            }
            [$name, $value] = explode('=', substr($word, 2), 2) + [1 => null];
            if (!in_array($word, ['--', '-h', '-V'], true) && !isset($takesValue[$name])) {
                return null;
            }
            $i += (int) ($value === null && ($takesValue[$name] ?? false));
        }

        return null;
    }

    /** @return class-string<Command> */
    private static function named(string $name): string
    {
        foreach (self::COMMANDS as $class) {
            if ($class::name() === $name) {
                return $class;
            }
        }
        throw Failure::usage('unknown command ' . Text::quoted($name) . Arguments::likely($name, self::names()));
    }

    /** @return list<string> */
    private static function names(): array
    {
        $names = [];
        foreach (self::COMMANDS as $class) {
            $names[] = $class::name();
        }

        return $names;
    }

    private static function version(): string
    {
        $extension = phpversion('hadsn');

        return ($extension === false ? 'hadsn, extension not loaded' : "hadsn $extension") . ', PHP ' . PHP_VERSION . "\n";
    }

    private static function end(Terminal $terminal, string $message, int $exitCode): int
    {
        try {
            if ($message === '') {
                $terminal->clearProgress();
            } else {
                $terminal->complain($message);
            }
        } catch (Failure) {
            // Nobody reads the messages either.
        }

        return $exitCode;
    }
}
