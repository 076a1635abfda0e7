<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use HaDsn\Tests\Support\Workplace;

/**
 * A fresh CodeIgniter application, as somebody has it who begins: the framework's own skeleton. tests/lab/install brings it.
 */
final class Application extends Workplace
{
    /** Settings of PHP: 4.1 is older than 8.2. */
    public const INI = ['error_reporting' => (E_ALL & ~E_DEPRECATED) . ''];

    private const SKELETON = '/var/tmp/hadsn-codeigniter-4.1.3';

    public function __construct()
    {
        if (!is_file(self::SKELETON . '/system/CodeIgniter.php')) {
            throw new \RuntimeException('there is no CodeIgniter in ' . self::SKELETON . ': run tests/lab/install lab, which fetches it');
        }
        parent::__construct(self::INI, skeleton: self::SKELETON);
        // Its spark makes an exception of every deprecation. docs/codeigniter.md tells so.
        $spark = (string) file_get_contents("$this->path/spark");
        $this->write('spark', str_replace('error_reporting(-1);', 'error_reporting(E_ALL & ~E_DEPRECATED);', $spark));
    }

    /** What it has logged so far. */
    public function log(): string
    {
        return implode('', array_map('file_get_contents', glob("$this->path/writable/logs/*.log") ?: []));
    }
}
