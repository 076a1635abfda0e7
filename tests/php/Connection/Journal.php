<?php

declare(strict_types=1);

namespace HaDsn\Tests\Connection;

use Psr\Log\AbstractLogger;

/**
 * A logger that keeps what it is told.
 */
final class Journal extends AbstractLogger
{
    /** @var list<array{level: string, message: string, context: array<string, mixed>}> */
    public array $entries = [];

    /** @param (\Closure(string): void)|null $hears is called with every message */
    public function __construct(private readonly ?\Closure $hears = null) {}

    public function log($level, $message, array $context = []): void
    {
        $this->entries[] = ['level' => $level, 'message' => (string) $message, 'context' => $context];
        if ($this->hears !== null) {
            ($this->hears)((string) $message);
        }
    }

    /**
     * Level and message of each entry, with the context filled in as PSR-3 says.
     *
     * @return list<string>
     */
    public function lines(): array
    {
        return array_map(static function (array $entry): string {
            $texts = [];
            foreach ($entry['context'] as $name => $value) {
                if (is_scalar($value)) {
                    $texts["{{$name}}"] = (string) $value;
                }
            }

            return "{$entry['level']}: " . strtr($entry['message'], $texts);
        }, $this->entries);
    }
}
