<?php

declare(strict_types=1);

namespace HaDsn\Console;

/**
 * The words of a command line, sorted. A parser of our own: it is shorter than the adapters that three majors of
 * symfony/console would need, and the command line has to work where Composer has installed nothing.
 *
 * @internal
 */
final class Arguments
{
    /**
     * @param list<string>               $operands what is no option
     * @param array<string, string|true> $options  by name; true: given, without a value
     */
    private function __construct(public readonly array $operands, private readonly array $options) {}

    /**
     * @param list<string> $words
     * @param list<Option> $known
     *
     * @throws Failure if an option is unknown, repeated, lacks its value or has one too many
     */
    public static function parse(array $words, array $known): self
    {
        $byName = array_combine(array_map(static fn(Option $option): string => $option->name, $known), $known);
        $operands = $options = [];
        while (($word = array_shift($words)) !== null) {
            if ($word === '--') {
                array_push($operands, ...$words);
                break;
            }
            if ($word === '-h' || $word === '-V') {
                $word = $word === '-h' ? '--help' : '--version';
            }
            if (!str_starts_with($word, '-') || $word === '-') {
                $operands[] = $word;
                continue;
            }
            [$name, $value] = explode('=', substr($word, 2), 2) + [1 => null];
            $option = str_starts_with($word, '--') ? $byName[$name] ?? null : null;
            if ($option === null) {
                // What stands behind the = may be a secret.
                throw Failure::usage('unknown option ' . Text::quoted(explode('=', $word, 2)[0]) . self::likely($name, array_keys($byName), '--'));
            }
            if (isset($options[$name])) {
                throw Failure::usage("option --$name: given twice");
            }
            if ($option->value === null) {
                if ($value !== null) {
                    throw Failure::usage("option --$name: takes no value");
                }
                $options[$name] = true;
                continue;
            }
            $value ??= array_shift($words);
            if ($value === null || $value === '') {
                throw Failure::usage("option --$name: needs a value: --$name={$option->value}");
            }
            $options[$name] = $value;
        }

        return new self($operands, $options);
    }

    /**
     * What somebody may have meant, as the end of a message.
     *
     * @param list<string> $known
     */
    public static function likely(string $text, array $known, string $prefix = ''): string
    {
        $best = null;
        $least = 3;
        foreach ($known as $one) {
            $distance = levenshtein(substr($text, 0, 40), $one);
            if ($distance < $least) {
                [$best, $least] = [$one, $distance];
            }
        }

        return $best === null ? '' : ": did you mean $prefix$best?";
    }

    public function has(string $name): bool
    {
        return isset($this->options[$name]);
    }

    public function value(string $name): ?string
    {
        $value = $this->options[$name] ?? null;

        return is_string($value) ? $value : null;
    }

    /** A whole number within bounds. */
    public function number(string $name, int $default, int $least, int $most): int
    {
        $value = $this->value($name);
        if ($value === null) {
            return $default;
        }
        $number = preg_match('/^[0-9]{1,9}$/D', $value) === 1 ? (int) $value : -1;
        if ($number < $least || $number > $most) {
            throw Failure::usage("option --$name: " . Text::quoted($value) . ": expected a whole number from $least to $most");
        }

        return $number;
    }

    /** A duration within bounds, in seconds. */
    public function duration(string $name, float $default, float $least, float $most): float
    {
        $value = $this->value($name);
        if ($value === null) {
            return $default;
        }
        $seconds = Text::parseDuration($value);
        if ($seconds === null || $seconds < $least || $seconds > $most) {
            throw Failure::usage("option --$name: " . Text::quoted($value) . ': expected a duration such as 500ms, 5s or 2m, from '
                . Text::duration($least) . ' to ' . Text::duration($most));
        }

        return $seconds;
    }
}
