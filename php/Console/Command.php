<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * One of the commands.
 *
 * @internal
 */
interface Command
{
    public static function name(): string;

    /** In a few words, for the list. */
    public static function summary(): string;

    /** How it is called, from the name on. */
    public static function synopsis(): string;

    /** What it does: paragraphs, and examples. */
    public static function description(): string;

    /**
     * Its own options.
     *
     * @return list<Option>
     */
    public static function options(): array;

    /**
     * Its exit codes, with their meaning.
     *
     * @return array<int, string>
     */
    public static function exitCodes(): array;

    /** Runs, and returns an exit code. */
    public function run(Arguments $arguments, Terminal $terminal): int;
}
