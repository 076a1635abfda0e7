<?php

declare(strict_types=1);

namespace HaDsn\Console\Command;

use HaDsn\Console\Arguments;
use HaDsn\Console\Failure;
use HaDsn\Console\Text;

/**
 * The words of a command that are no options.
 *
 * @internal
 */
final class Operands
{
    public static function none(Arguments $arguments): void
    {
        if ($arguments->operands !== []) {
            throw Failure::usage('unexpected ' . Text::quoted($arguments->operands[0]));
        }
    }

    /** @param list<string> $allowed */
    public static function one(Arguments $arguments, array $allowed): string
    {
        $given = $arguments->operands[0] ?? null;
        $expected = implode(' or ', $allowed);
        if ($given === null) {
            throw Failure::usage("expected $expected");
        }
        if (!in_array($given, $allowed, true)) {
            throw Failure::usage(Text::quoted($given) . ": expected $expected");
        }
        if (isset($arguments->operands[1])) {
            throw Failure::usage('unexpected ' . Text::quoted($arguments->operands[1]));
        }

        return $given;
    }
}
