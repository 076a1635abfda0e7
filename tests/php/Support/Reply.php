<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * What an application answered to one request over HTTP; status 0 means that it did not.
 */
final class Reply
{
    public function __construct(public readonly int $status, public readonly string $body, public readonly ?string $cookie = null) {}

    public function json(): mixed
    {
        return json_decode($this->body, true);
    }

    public function __toString(): string
    {
        return "$this->status $this->body";
    }
}
