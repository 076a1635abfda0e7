<?php

declare(strict_types=1);

/**
 * The class that PHP has from 8.2 on: holds a password, and shows it to nothing that dumps objects. Composer loads it on 8.1 only.
 */
final class SensitiveParameterValue
{
    /** @var WeakMap<self, mixed> beside the objects: not even a cast to an array finds it there */
    private static WeakMap $values;

    public function __construct(mixed $value)
    {
        self::$values ??= new WeakMap();
        self::$values[$this] = $value;
    }

    private function __clone() {}

    public function getValue(): mixed
    {
        return self::$values[$this];
    }

    /** @return never */
    public function __serialize(): array
    {
        throw new Exception("Serialization of 'SensitiveParameterValue' is not allowed");
    }
}
