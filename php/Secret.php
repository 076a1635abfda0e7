<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * A password that is kept, and shown by nothing that dumps, casts or serializes objects. PHP's own SensitiveParameterValue is not there before 8.2.
 *
 * @internal
 */
final class Secret
{
    /** @var \WeakMap<self, string>|null beside the objects: not even a cast to an array finds it there */
    private static ?\WeakMap $values = null;

    public function __construct(#[\SensitiveParameter] ?string $value)
    {
        self::$values ??= new \WeakMap();
        if ($value !== null) {
            self::$values[$this] = $value;
        }
    }

    private function __clone() {}

    public function value(): ?string
    {
        return self::$values[$this] ?? null;
    }

    /** @return never */
    public function __serialize(): array
    {
        throw new \LogicException('serialization of a password is not allowed');
    }
}
