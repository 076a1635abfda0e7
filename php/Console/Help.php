<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * The texts of `--help`, in the order of a manual page.
 *
 * @internal
 */
final class Help
{
    private const WIDEST = 100;

    public static function overview(Terminal $terminal): string
    {
        $commands = [];
        foreach (Application::COMMANDS as $class) {
            $commands[$class::name()] = $class::summary();
        }

        return self::page($terminal, [
            'NAME' => 'hadsn - look at a PostgreSQL cluster as HaDsn sees it, and find out what is wrong',
            'SYNOPSIS' => "hadsn COMMAND [OPTION...]\nhadsn COMMAND --help",
            'COMMANDS' => $commands,
            'OPTIONS' => self::options(Option::common()),
            'CONFIGURATION' => "The source string of a cluster is found where the extension finds it; the first that is there is used:\n\n"
                . "1. the option --source;\n"
                . "2. the environment: HADSN_URL, or HADSN_URL_FILE, which names a file; for the cluster orders HADSN_URL_ORDERS or HADSN_URL_ORDERS_FILE;\n"
                . "3. php.ini: hadsn.url; for the cluster orders hadsn.url.orders.\n\n"
                . 'PHP has a php.ini for each way of running it. This is the command line\'s; `hadsn doctor` also looks at the pools of php-fpm.',
            'EXIT CODES' => self::exitCodes([
                ExitCode::DONE => 'done, and all is well',
                ExitCode::UNWELL => 'there is no leader, nobody answers, or a connection can\'t be made; doctor: warnings',
                ExitCode::UNUSABLE => 'wrong usage or configuration, or the extension is not loaded; doctor: errors',
                ExitCode::FAULT => 'a fault of hadsn itself',
                ExitCode::INTERRUPTED => 'ended by Ctrl-C (watch ends with 0 then)',
            ]),
            'ENVIRONMENT' => [
                'HADSN_URL...' => 'the source strings, as above',
                'PGUSER, PGPASSWORD, PGPASSFILE' => 'libpq\'s: credentials where neither options nor the source have them',
                'NO_COLOR' => 'not empty: no colours',
                'LC_ALL, LC_CTYPE, LANG' => 'the first that is set: texts are ASCII unless it says UTF-8',
            ],
            'EXAMPLES' => "hadsn status\nhadsn status --json --source=patroni://10.0.0.1,10.0.0.2,10.0.0.3/app\nhadsn watch --cluster=orders --interval=500ms\n"
                . 'psql "$(hadsn dsn reader --conninfo)"' . "\nhadsn doctor --user=app --password-file=/run/secrets/app || echo look at that",
        ]);
    }

    /** @param class-string<Command> $command */
    public static function of(string $command, Terminal $terminal): string
    {
        $own = $command::options();
        [$text, $examples] = explode("\n\nExamples:\n", $command::description(), 2) + [1 => ''];

        return self::page($terminal, array_filter([
            'NAME' => 'hadsn ' . $command::name() . ' - ' . $command::summary(),
            'SYNOPSIS' => 'hadsn ' . $command::synopsis(),
            'DESCRIPTION' => $text,
            'OPTIONS' => $own === [] ? [] : self::options($own),
            'COMMON OPTIONS' => self::options(Option::common()),
            'EXIT CODES' => self::exitCodes($command::exitCodes()),
            'EXAMPLES' => $examples,
        ]));
    }

    /** @param array<string, string|array<string, string>> $sections */
    private static function page(Terminal $terminal, array $sections): string
    {
        $width = min(self::WIDEST, $terminal->columns());
        $out = '';
        foreach ($sections as $title => $content) {
            $out .= ($out === '' ? '' : "\n") . $terminal->colored($title, Color::Heading) . "\n";
            $out .= match (true) {
                is_array($content) => self::list($content, $width),
                // To be copied: never broken.
                in_array($title, ['SYNOPSIS', 'EXAMPLES'], true) => (string) preg_replace('/^/m', '    ', $content) . "\n",
                default => self::paragraphs($content, $width),
            };
        }

        return $out;
    }

    private static function paragraphs(string $text, int $width): string
    {
        $out = '';
        foreach (explode("\n", $text) as $line) {
            $indent = str_repeat(' ', 4 + strspn($line, ' '));
            foreach (Text::wrap(ltrim($line), $width - strlen($indent)) as $piece) {
                $out .= rtrim($indent . $piece) . "\n";
            }
        }

        return $out;
    }

    /** @param array<string, string> $items */
    private static function list(array $items, int $width): string
    {
        $column = 2 + min(24, max(array_map(Text::width(...), array_map(strval(...), array_keys($items)))));
        $out = '';
        foreach ($items as $name => $text) {
            $name = (string) $name;
            $isLong = Text::width($name) + 2 > $column;
            $out .= $isLong ? "    $name\n" : '';
            foreach (Text::wrap($text, $width - 4 - $column) as $i => $piece) {
                $out .= '    ' . Text::pad($i === 0 && !$isLong ? $name : '', $column) . $piece . "\n";
            }
        }

        return $out;
    }

    /**
     * @param list<Option> $options
     *
     * @return array<string, string>
     */
    private static function options(array $options): array
    {
        $list = [];
        foreach ($options as $option) {
            $list["--{$option->name}" . ($option->value === null ? '' : "={$option->value}")] = $option->help;
        }

        return $list;
    }

    /**
     * @param array<int, string> $codes
     *
     * @return array<string, string>
     */
    private static function exitCodes(array $codes): array
    {
        $list = [];
        foreach ($codes as $code => $meaning) {
            // A key of digits would be a number again.
            $list["$code "] = $meaning;
        }

        return $list;
    }
}
