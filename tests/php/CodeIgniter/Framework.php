<?php

declare(strict_types=1);

namespace HaDsn\Tests\CodeIgniter;

use HaDsn\Tests\Support\Page;

require_once __DIR__ . '/../Connection/autoload.php';

/**
 * CodeIgniter in this very process, without its error handler: PHPUnit has its own.
 */
final class Framework
{
    private static ?Application $application = null;

    public static function boot(): Application
    {
        if (self::$application !== null) {
            return self::$application;
        }
        self::$application = $application = new Application();
        // 4.1 was written for PHP 7.3.
        $level = error_reporting(E_ALL & ~E_DEPRECATED);
        $application->insert('app/Config/Autoload.php', 'public $psr4 = [', "'HaDsn\\CodeIgniter' => " . var_export(Page::package() . '/php/CodeIgniter', true) . ",\n");
        define('ENVIRONMENT', 'production');
        define('CI_DEBUG', false);
        define('FCPATH', "$application->path/public/");
        define('APPPATH', "$application->path/app/");
        define('ROOTPATH', "$application->path/");
        define('SYSTEMPATH', "$application->path/system/");
        define('WRITEPATH', "$application->path/writable/");
        define('TESTPATH', "$application->path/tests/");
        require APPPATH . 'Config/Constants.php';
        require SYSTEMPATH . 'Common.php';
        require SYSTEMPATH . 'Config/AutoloadConfig.php';
        require APPPATH . 'Config/Autoload.php';
        require SYSTEMPATH . 'Modules/Modules.php';
        require APPPATH . 'Config/Modules.php';
        require SYSTEMPATH . 'Autoloader/Autoloader.php';
        require SYSTEMPATH . 'Config/BaseService.php';
        require SYSTEMPATH . 'Config/Services.php';
        require APPPATH . 'Config/Services.php';
        class_alias('Config\Services', 'CodeIgniter\Services');
        \Config\Services::autoloader()->initialize(new \Config\Autoload(), new \Config\Modules())->register();
        error_reporting($level);

        return $application;
    }
}
