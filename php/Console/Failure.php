<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * Ends a command: a message for standard error, and an exit code.
 *
 * @internal
 */
final class Failure extends \RuntimeException
{
    /** @param string|null $advice what to do, where it is not what the message says */
    private function __construct(string $message, public readonly int $exitCode, public readonly ?string $advice = null)
    {
        parent::__construct($message);
    }

    /** Wrong usage. */
    public static function usage(string $message): self
    {
        return new self("$message; hadsn --help tells more", ExitCode::UNUSABLE);
    }

    /** It can't begin. */
    public static function unusable(string $message): self
    {
        return new self($message, ExitCode::UNUSABLE);
    }

    /** A file that is needed to begin. */
    public static function unreadable(string $file, string $reason): self
    {
        return new self('file ' . Text::quoted($file) . ": can't be read: $reason", ExitCode::UNUSABLE, 'name a file that this user can read');
    }

    /** The cluster does not allow it. */
    public static function unwell(string $message): self
    {
        return new self($message, ExitCode::UNWELL);
    }

    public static function interrupted(): self
    {
        return new self('', ExitCode::INTERRUPTED);
    }

    /** Nobody reads what is written. */
    public static function brokenPipe(): self
    {
        return new self('', ExitCode::UNWELL);
    }
}
