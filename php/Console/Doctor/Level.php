<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

use HaDsn\Console\Color;
use HaDsn\Console\ExitCode;

/**
 * How bad a finding is.
 *
 * @internal
 */
enum Level: string
{
    /** As it should be. */
    case Ok = 'ok';

    /** Worth knowing; nothing has to be done. */
    case Notice = 'notice';

    /** It works, and something that it will need is missing. */
    case Warning = 'warning';

    /** Something does not work now. */
    case Error = 'error';

    public function rank(): int
    {
        return match ($this) {
            self::Ok => 0,
            self::Notice => 1,
            self::Warning => 2,
            self::Error => 3,
        };
    }

    public function exitCode(): int
    {
        return match ($this) {
            self::Ok, self::Notice => ExitCode::DONE,
            self::Warning => ExitCode::UNWELL,
            self::Error => ExitCode::UNUSABLE,
        };
    }

    public function color(): Color
    {
        return match ($this) {
            self::Ok => Color::Good,
            self::Notice => Color::Notice,
            self::Warning => Color::Warning,
            self::Error => Color::Error,
        };
    }
}
