<?php

declare(strict_types=1);

namespace HaDsn\Console\Doctor;

/**
 * One thing that doctor has found.
 *
 * @internal
 */
final class Finding
{
    /**
     * @param string      $id      `endpoint.silent`: what stands in front of the dot is the section; it stays the same
     * @param string      $subject the thing: an address, a member, a file
     * @param string|null $advice  what to do
     */
    public function __construct(
        public readonly string $id,
        public readonly Level $level,
        public readonly string $subject,
        public readonly string $message,
        public readonly ?string $advice = null,
    ) {}

    public function section(): string
    {
        return explode('.', $this->id, 2)[0];
    }
}
