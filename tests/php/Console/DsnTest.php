<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\Libpq;
use HaDsn\Tests\Support\Nodes;

/**
 * `hadsn dsn`: what it prints, and what it never prints.
 */
final class DsnTest extends ConsoleTestCase
{
    public function testTheDsnIsWhatTheExtensionGives(): void
    {
        $env = ['HADSN_URL' => self::url($this->cluster(...Nodes::healthy()))];

        self::assertSame(
            'pgsql:host=127.0.2.1;port=5432;dbname=app;target_session_attrs=read-write;' . self::TAIL . "\n",
            self::hadsn(['dsn', 'writer'], $env)->stdout,
        );
        self::assertMatchesRegularExpression('/^pgsql:host=127\.0\.2\.[23];port=5432;dbname=app;/', self::hadsn(['dsn', 'reader'], $env)->stdout);
        self::assertSame(['cluster', 'role', 'dsn'], array_keys(self::hadsn(['dsn', 'reader', '--json'], $env)->json()));
    }

    public function testAPasswordIsShownOnlyWhenAskedFor(): void
    {
        $patroni = $this->cluster(...Nodes::healthy());
        $env = ['HADSN_URL' => "patroni://app:hunter%202@{$patroni->address()}/app?patroni_user=u&patroni_password=hunter3&options=-c%20a%3Db"];

        foreach ([['dsn', 'writer'], ['dsn', 'writer', '--conninfo'], ['dsn', 'reader', '--conninfo', '--json'], ['status'], ['status', '--json'], ['doctor'], ['doctor', '--json'], ['forget']] as $words) {
            $outcome = self::hadsn($words, $env);

            self::assertStringNotContainsString('hunter', $outcome->stdout . $outcome->stderr, implode(' ', $words));
        }
        $without = Libpq::parse(trim(self::hadsn(['dsn', 'writer', '--conninfo'], $env)->stdout));
        $with = Libpq::parse(trim(self::hadsn(['dsn', 'writer', '--conninfo', '--show-password'], $env)->stdout));
        self::assertSame(['app', '-c a=b'], [$without['user'], $without['options']]);
        self::assertArrayNotHasKey('password', $without);
        self::assertEquals($without + ['password' => 'hunter 2'], $with);
    }

    public function testTheCredentialsOfTheCommandLineCount(): void
    {
        $env = ['HADSN_URL' => self::url($this->cluster(...Nodes::healthy()))];
        $file = $this->directory->write('password', "s'e cret\nsecond line\n");

        $conninfo = self::hadsn(['dsn', 'writer', '--conninfo', '--user=other', "--password-file=$file", '--show-password'], $env);

        self::assertSame(['other', "s'e cret"], array_values(array_intersect_key(Libpq::parse(trim($conninfo->stdout)), ['user' => 1, 'password' => 1])));
    }

    public function testWithoutALeaderItEndsWithOne(): void
    {
        $env = ['HADSN_URL' => self::url($this->cluster(Nodes::replica()), 'failover_timeout=300ms')];

        $outcome = self::hadsn(['dsn', 'writer'], $env);

        self::assertSame([1, ''], [$outcome->exitCode, $outcome->stdout]);
        self::assertStringStartsWith('hadsn: no leader within 0.3s: ', $outcome->stderr);
        self::assertSame(0, self::hadsn(['dsn', 'reader'], $env)->exitCode);
    }

    public function testCtrlCEndsTheWaitForALeader(): void
    {
        $patroni = $this->patroni(Answer::members(Nodes::replica()));
        $dsn = self::start(['dsn', 'writer'], ['HADSN_URL' => self::url($patroni)]);
        self::await(static fn(): bool => $patroni->count() > 2, 'it waits');

        $dsn->signal(SIGINT);

        self::assertSame(130, $dsn->wait(20.0)->exitCode);
    }
}
