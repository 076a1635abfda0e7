<?php

declare(strict_types=1);

namespace HaDsn\Testing\Server;

/**
 * Messages of PostgreSQL's protocol 3.0 (manual, "Frontend/Backend Protocol").
 *
 * @internal
 */
final class Wire
{
    public const TLS_REQUEST = 80877103;
    public const GSS_REQUEST = 80877104;
    public const CANCEL_REQUEST = 80877102;

    public static function message(string $type, string $content): string
    {
        return $type . pack('N', 4 + strlen($content)) . $content;
    }

    public static function query(string $sql): string
    {
        return self::message('Q', "$sql\0");
    }

    /** What ends a session: an ErrorResponse of the severity FATAL. */
    public static function fatal(string $state, string $text): string
    {
        return self::message('E', "SFATAL\0VFATAL\0C$state\0M$text\0\0");
    }

    public static function parameter(string $name, string $value): string
    {
        return self::message('S', "$name\0$value\0");
    }

    /** A start-up message with one more parameter. */
    public static function withParameter(string $startup, string $name, string $value): string
    {
        $content = substr($startup, 4, -1) . "$name\0$value\0\0";

        return pack('N', 4 + strlen($content)) . $content;
    }

    /**
     * The texts at the beginning of a message's content.
     *
     * @return list<string>
     */
    public static function texts(string $message, int $count): array
    {
        return array_slice(explode("\0", substr($message, 5), $count + 1), 0, $count);
    }

    public static function number(string $bytes, int $offset): int
    {
        /** @var array{1: int} $number */
        $number = unpack('N', $bytes, $offset);

        return $number[1];
    }

    private function __construct() {}
}
