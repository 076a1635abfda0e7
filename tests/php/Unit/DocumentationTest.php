<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Directory;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * What the documentation shows has to work when it is copied.
 */
final class DocumentationTest extends UnitTestCase
{
    private const ROOT = __DIR__ . '/../../..';

    /** One URL after another, as they stand in a line, a quoted text or a code span. */
    private const SOURCES = '~(?<![\w+])(?:patroni(?:\+https)?|postgresql)(?:\+srv)?://[^\s"\'`|…]+'
        . '(?: (?:patroni(?:\+https)?|postgresql)(?:\+srv)?://[^\s"\'`|…]+)*~';

    private static ?Directory $files = null;

    public static function tearDownAfterClass(): void
    {
        self::$files = null;
    }

    /**
     * @dataProvider sources
     */
    public function testAnExampleOfASourceStringIsAccepted(string $sources): void
    {
        HaDsn::configure(self::withFilesOfThisMachine($sources), 'documented');

        self::assertNull(HaDsn::status()['clusters']['documented']['error']);
    }

    /** @return iterable<string, array{string}> */
    public static function sources(): iterable
    {
        foreach (self::pages() as $page => $text) {
            foreach (self::examples($text) as $number => $example) {
                preg_match_all(self::SOURCES, $example, $found);
                foreach ($found[0] as $sources) {
                    yield "$page, example $number: $sources" => [$sources];
                }
            }
        }
    }

    public function testTheExamplesAreFound(): void
    {
        $found = [...self::sources()];
        self::assertGreaterThan(30, count($found));
        foreach (['patroni', 'patroni+https', 'patroni+srv', 'patroni+https+srv', 'postgresql', 'postgresql+srv'] as $scheme) {
            $ofScheme = array_filter($found, static fn(array $one): bool => str_starts_with($one[0], "$scheme://"));
            self::assertNotSame([], $ofScheme, $scheme);
        }
        $several = array_filter($found, static fn(array $one): bool => substr_count($one[0], '://') === 3);
        self::assertNotSame([], $several, 'a line is taken whole');
    }

    /**
     * @dataProvider links
     */
    public function testALinkLeadsSomewhere(string $page, string $target): void
    {
        [$path, $heading] = explode('#', $target, 2) + ['', ''];
        $file = $path === '' ? self::ROOT . "/$page" : dirname(self::ROOT . "/$page") . "/$path";
        self::assertFileExists($file);
        if ($heading !== '') {
            preg_match_all('/^#+ (.*)$/m', (string) file_get_contents($file), $headings);
            self::assertContains($heading, array_map(self::anchor(...), $headings[1]));
        }
    }

    /** @return iterable<string, array{string, string}> */
    public static function links(): iterable
    {
        foreach (self::pages() as $page => $text) {
            preg_match_all('~\]\(((?!https?:)[^)\s]+)\)~', $text, $found);
            foreach (array_unique($found[1]) as $target) {
                yield "$page: $target" => [$page, $target];
            }
        }
    }

    /**
     * @return array<string, string> their texts, by the path from the root
     */
    private static function pages(): array
    {
        $pages = [];
        foreach (['README.md', ...array_map(static fn(string $file): string => 'docs/' . basename($file), glob(self::ROOT . '/docs/*.md') ?: [])] as $page) {
            $pages[$page] = (string) file_get_contents(self::ROOT . "/$page");
        }

        return $pages;
    }

    /**
     * Blocks that are fenced or indented, and code spans that are a source as a whole.
     *
     * @return list<string>
     */
    private static function examples(string $text): array
    {
        preg_match_all('/^ *```.*?^ *```$/ms', $text, $fenced);
        $rest = str_replace($fenced[0], '', $text);
        preg_match_all('/^ {4,}\S.*$/m', $rest, $indented);
        preg_match_all('~`((?:patroni|postgresql)[+a-z]*://[^`…]+)`~', $rest, $spans);

        return [...$fenced[0], ...$indented[0], ...$spans[1]];
    }

    /**
     * The same sources, with certificates that are there in place of those of the example: `configure()` reads the files of
     * the REST API's TLS.
     */
    private static function withFilesOfThisMachine(string $sources): string
    {
        $directory = self::$files ??= self::certificates();
        foreach (['patroni_cafile' => 'app.pem', 'patroni_cert' => 'app.pem', 'patroni_key' => 'app.key'] as $option => $file) {
            $sources = (string) preg_replace("~(?<=[?&]$option=)/[^&\\s]+~", "$directory->path/$file", $sources);
        }
        if (!str_contains($sources, 'patroni+https') || str_contains($sources, 'patroni_cafile=')) {
            return $sources;
        }
        // A machine need not have authorities of its own.
        [$first, $rest] = explode(' ', $sources, 2) + ['', ''];

        return trim($first . (str_contains($first, '?') ? '&' : '?') . "patroni_cafile=$directory->path/app.pem $rest");
    }

    /** A self-signed certificate and its key. */
    private static function certificates(): Directory
    {
        $directory = new Directory();
        $key = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
        $request = openssl_csr_new(['commonName' => 'app'], $key, ['digest_alg' => 'sha256']);
        $certificate = openssl_csr_sign($request, null, $key, 1, ['digest_alg' => 'sha256']);
        openssl_x509_export($certificate, $pem);
        openssl_pkey_export($key, $privateKey);
        $directory->write('app.pem', $pem);
        $directory->write('app.key', $privateKey);

        return $directory;
    }

    /** What GitHub makes of a heading. */
    private static function anchor(string $heading): string
    {
        return str_replace(' ', '-', (string) preg_replace('/[^\w -]/u', '', strtolower($heading)));
    }
}
