<?php

declare(strict_types=1);

namespace HaDsn\Tests\Support;

/**
 * A page of docs/, as its reader takes it: what to write, where, and what to run.
 */
final class Page
{
    /** @var list<array{section: string, text: string, language: string, code: string}> */
    private readonly array $blocks;

    /** @param string $name of its file: `codeigniter.md` */
    public function __construct(private readonly string $name)
    {
        $blocks = [];
        $section = $text = '';
        $language = $code = null;
        foreach (file(self::package() . "/docs/$name", FILE_IGNORE_NEW_LINES) ?: [] as $line) {
            if ($code !== null) {
                if ($line === '```') {
                    $blocks[] = ['section' => $section, 'text' => trim($text), 'language' => $language, 'code' => $code];
                    $text = '';
                    $code = null;
                } else {
                    $code .= "$line\n";
                }
            } elseif (str_starts_with($line, '```')) {
                [$language, $code] = [substr($line, 3), ''];
            } elseif (str_starts_with($line, '## ')) {
                [$section, $text] = [substr($line, 3), ''];
            } else {
                $text .= "$line\n";
            }
        }
        $this->blocks = $blocks;
    }

    /** This repository. */
    public static function package(): string
    {
        return dirname(__DIR__, 3);
    }

    /** The first block of a section. */
    public function first(string $section): string
    {
        foreach ($this->blocks as $block) {
            if ($block['section'] === $section) {
                return $block['code'];
            }
        }
        throw new \RuntimeException("docs/$this->name: there is no block in the section $section");
    }

    /**
     * Does what a section says, step by step. A command that begins with `php -S` goes on, and is started; all others end.
     *
     * @param string|null $elsewhere a pattern: what is said in such a paragraph is for other versions
     */
    public function follow(string $section, Workplace $workplace, ?string $elsewhere = null): void
    {
        foreach ($this->blocks as $block) {
            if ($block['section'] !== $section) {
                continue;
            }
            // The last sentence before a block says what to do with it.
            $text = $block['text'];
            $paragraph = substr($text, (int) strrpos("\n\n$text", "\n\n"));
            if ($elsewhere !== null && preg_match($elsewhere, $paragraph) === 1) {
                continue;
            }
            match (true) {
                $block['language'] === 'sh' && str_starts_with($block['code'], 'php -S') => $workplace->serve(trim($block['code'])),
                $block['language'] === 'sh' => $workplace->run($block['code']),
                preg_match('/In `(\$\w+)` of `([^`]+)`, add:$/', $text, $found) === 1 => $workplace->insert($found[2], "public $found[1] = [", $block['code']),
                preg_match('/In `([^`]+)`, behind\s`([^`]+)`, add:$/', $text, $found) === 1 => $workplace->insert($found[1], $found[2], $block['code']),
                preg_match('/In `([^`]+)`, set:$/', $text, $found) === 1 => $workplace->set($found[1], $block['code']),
                preg_match('/(?:In|At the end of) `([^`]+)`, add:$/', $text, $found) === 1 => $workplace->append($found[1], "\n$block[code]"),
                preg_match('/Write `([^`]+)`:$/', $text, $found) === 1 => $workplace->write($found[1], $block['code']),
                default => throw new \RuntimeException("docs/$this->name does not say what to do with this:\n$block[code]"),
            };
        }
    }
}
