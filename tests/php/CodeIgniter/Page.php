<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

/**
 * docs/codeigniter.md, as its reader takes it: what to write, where, and what to run.
 */
final class Page
{
    /** @var list<array{section: string, text: string, language: string, code: string}> */
    private readonly array $blocks;

    public function __construct()
    {
        $blocks = [];
        $section = $text = '';
        $language = $code = null;
        foreach (file(Application::package() . '/docs/codeigniter.md', FILE_IGNORE_NEW_LINES) ?: [] as $line) {
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

    /**
     * Does what a section says, step by step. What it starts and does not end is returned.
     *
     * @param \Closure(string): void $run   runs a command
     * @param \Closure(string): void $serve starts a server
     */
    public function follow(string $section, Application $application, \Closure $run, \Closure $serve): void
    {
        foreach ($this->blocks as $block) {
            if ($block['section'] !== $section) {
                continue;
            }
            // The last sentence before a block says what to do with it.
            $text = $block['text'];
            match (true) {
                $block['language'] === 'sh' && str_starts_with($block['code'], 'php -S') => $serve(trim($block['code'])),
                $block['language'] === 'sh' => $run($block['code']),
                preg_match('/In `(\$\w+)` of `([^`]+)`, add:$/', $text, $found) === 1 => $application->insert($found[2], "public $found[1] = [", $block['code']),
                preg_match('/(?:In|At the end of) `([^`]+)`, add:$/', $text, $found) === 1 => $application->append($found[1], "\n$block[code]"),
                preg_match('/Write `([^`]+)`:$/', $text, $found) === 1 => $application->write($found[1], $block['code']),
                default => throw new \RuntimeException("docs/codeigniter.md does not say what to do with this:\n$block[code]"),
            };
        }
    }
}
