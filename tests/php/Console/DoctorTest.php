<?php

declare(strict_types=1);

namespace HaDsn\Tests\Console;

use HaDsn\Console\Doctor\AnnouncedApis;
use HaDsn\Console\Doctor\Announcement;
use HaDsn\Console\Doctor\Api;
use HaDsn\Console\Doctor\Level;
use HaDsn\Console\Doctor\Report;
use HaDsn\Console\Endpoint;
use HaDsn\Console\Source;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\Outcome;
use HaDsn\Tests\Support\Process;

/**
 * `hadsn doctor`: each fault that it is there for is provoked, and found.
 */
final class DoctorTest extends ConsoleTestCase
{
    public function testAHealthyClusterHasNothingWorseThanNotices(): void
    {
        $outcome = $this->doctor(self::url($this->patroni($this->healthy()), 'hedge=1s'));

        self::assertSame(0, $outcome->exitCode, $outcome->stdout);
        self::assertSame(['cluster', 'level', 'counts', 'seconds', 'findings'], array_keys($outcome->json()));
        self::assertSame(['notice', 0, 0], [$outcome->json()['level'], $outcome->json()['counts']['warning'], $outcome->json()['counts']['error']]);
        foreach (['configuration.extension', 'configuration.source', 'endpoint.answers', 'cluster.leader', 'cluster.replicas', 'member.reachable', 'clock.agrees', 'shm.usable', 'fpm.environment'] as $id) {
            self::assertFound($outcome, $id, 'ok');
        }
        self::assertFound($outcome, 'endpoint.answers', 'ok', 'member pg1, scope app, Patroni 4.1.5');
        self::assertFound($outcome, 'login.user', 'notice', 'nobody logged in');
    }

    public function testEveryFindingThatIsNotOkSaysWhatToDo(): void
    {
        $outcome = $this->doctor('patroni://' . self::deadAddress() . '/app');

        foreach ($outcome->json()['findings'] as $finding) {
            self::assertSame($finding['level'] !== 'ok', $finding['advice'] !== null, $finding['id']);
        }
        $text = self::hadsn(['doctor'], ['HADSN_URL' => 'patroni://' . self::deadAddress() . '/app']);
        self::assertSame(2, $text->exitCode);
        self::assertMatchesRegularExpression('/^  warning  127\.0\.0\.1:\d+: connection refused\n {11}→ start Patroni there, /m', $text->stdout);
        self::assertMatchesRegularExpression('/^cluster default: \d errors, \d+ warnings?, .*\d+ ok, in /m', $text->stdout);
    }

    public function testADeadEndpointAmongOthersIsAWarning(): void
    {
        $dead = self::deadAddress();

        $outcome = $this->doctor(self::url([$this->patroni($this->healthy()), $dead, 'no-such-host.invalid']));

        self::assertSame(1, $outcome->exitCode, $outcome->stdout);
        self::assertFound($outcome, 'endpoint.unreachable', 'warning', 'connection refused', $dead);
        self::assertFound($outcome, 'endpoint.unresolved', 'warning', 'the name has no address', 'no-such-host.invalid:8008');
    }

    /**
     * @dataProvider badAnswers
     */
    public function testAnEndpointThatAnswersBadlyIsNamedWithTheReason(Answer $answer, string $id, string $level, string $reason): void
    {
        $bad = $this->patroni($answer);

        $outcome = $this->doctor(self::url([$this->patroni($this->healthy()), $bad]));

        self::assertFound($outcome, $id, $level, $reason, $bad->address());
        self::assertSame($level === 'error' ? 2 : 1, $outcome->exitCode);
    }

    /** @return iterable<string, array{Answer, string, string, string}> */
    public static function badAnswers(): iterable
    {
        yield 'silent' => [Answer::silence(), 'endpoint.silent', 'warning', 'connected, and no answer within 1.5 s'];
        yield 'stalls' => [Answer::stall(), 'endpoint.silent', 'warning', 'the answer was not complete within 1.5 s'];
        yield 'a byte a second' => [Answer::drip(), 'endpoint.silent', 'warning', 'the answer was not complete within 1.5 s'];
        yield 'hangs up' => [Answer::slam(), 'endpoint.silent', 'warning', 'connected, and the connection was closed without an answer'];
        yield 'asks for a password' => [Answer::status(401), 'endpoint.auth', 'error', 'answers 401: it asks for a password'];
        yield 'forbids' => [Answer::status(403), 'endpoint.auth', 'error', 'answers 403'];
        yield 'has nothing there' => [Answer::status(404), 'endpoint.status', 'warning', 'answers 404 to GET /cluster'];
        yield 'a web page' => [Answer::body('<html>', 'text/html'), 'endpoint.nonsense', 'warning', 'not a description of a cluster'];
        yield 'not HTTP' => [Answer::raw("SSH-2.0-OpenSSH\r\n"), 'endpoint.nonsense', 'warning', 'the answer is not HTTP: "SSH-2.0-OpenSSH\r\n"'];
    }

    public function testTheCredentialsOfTheRestApiAreSent(): void
    {
        $patroni = $this->patroni(Answer::status(401));

        $outcome = $this->doctor(self::url($patroni, 'patroni_user=u&patroni_password=hunter2'));

        self::assertFound($outcome, 'endpoint.auth', 'error', 'does not take the one in the source string');
        self::assertFound($outcome, 'tls.patroni', 'notice', 'goes over HTTP in the open');
        self::assertSame('Basic ' . base64_encode('u:hunter2'), $patroni->requests()[0]['headers']['authorization']);
        self::assertStringNotContainsString('hunter2', $outcome->stdout);
    }

    public function testASlowEndpointIsAWarning(): void
    {
        $outcome = $this->doctor(self::url([$this->patroni($this->healthy()->after(0.5)), $this->patroni($this->healthy())]));

        self::assertFound($outcome, 'endpoint.slow', 'warning', 'answers in 5');
    }

    public function testEndpointsOfAnotherClusterAreAnError(): void
    {
        $members = $this->reachable();
        $mine = $this->patroni(Answer::json(['members' => $members, 'scope' => 'app']));
        $foreign = $this->patroni(Answer::json(['members' => $members, 'scope' => 'billing']));

        $outcome = $this->doctor(self::url([$mine, $foreign]));

        self::assertFound($outcome, 'cluster.scope', 'error', "{$mine->address()} → app; {$foreign->address()} → billing");
    }

    public function testEndpointsThatDisagreeAreNamed(): void
    {
        [$one, $two] = [$this->server(), $this->server()];
        $node = static fn(string $leader, array $more): Answer => Answer::json($more + ['scope' => 'app', 'role' => 'primary', 'state' => 'running', 'members' => [
            $one->asMember(Nodes::leader('pg1', more: ['role' => $leader === 'pg1' ? 'leader' : 'replica'])),
            $two->asMember(Nodes::leader('pg2', more: ['role' => $leader === 'pg2' ? 'leader' : 'replica'])),
        ]]);
        $first = $this->patroni($node('pg1', ['database_system_identifier' => '1']));
        $second = $this->patroni($node('pg2', ['database_system_identifier' => '2', 'pause' => true]));

        $outcome = $this->doctor(self::url([$first, $second]));

        self::assertFound($outcome, 'cluster.disagree', 'warning', "{$first->address()} → pg1; {$second->address()} → pg2");
        self::assertFound($outcome, 'cluster.primaries', 'error', 'each says that it is the primary');
        self::assertFound($outcome, 'cluster.system', 'error', "{$first->address()} → 1; {$second->address()} → 2");
        self::assertFound($outcome, 'cluster.paused', 'warning', 'nobody takes over');
    }

    public function testAnEndpointThatHasLostItsDcsIsAWarning(): void
    {
        $outcome = $this->doctor(self::url($this->patroni($this->healthy(['dcs_last_seen' => time() - 300]))));

        self::assertFound($outcome, 'endpoint.dcs', 'warning', 'has not reached its DCS for 5 min');
    }

    public function testNoLeaderIsAnErrorAndNoReplicaAWarning(): void
    {
        $nobody = $this->doctor(self::url($this->cluster(Nodes::replica('pg2', '127.0.0.1', ['port' => 1]))));
        $standby = $this->doctor(self::url($this->cluster($this->server()->asMember(Nodes::leader(more: ['role' => 'standby_leader'])))));
        $alone = $this->doctor(self::url($this->cluster($this->server()->asMember(Nodes::leader())), 'reader_fallback=error'));

        self::assertFound($nobody, 'cluster.leader', 'error', 'nobody leads');
        self::assertFound($standby, 'cluster.standby', 'error', 'nobody in it takes writes');
        self::assertFound($alone, 'cluster.replicas', 'warning', 'readers fail (reader_fallback=error)');
    }

    public function testAnAnnouncedAddressThatCannotBeReachedIsAnErrorOfTheLeaderAndAWarningOfAReplica(): void
    {
        $port = (int) explode(':', self::deadAddress())[1];
        $frozen = stream_socket_server('tcp://127.0.0.1:0');
        $frozenPort = (int) explode(':', (string) stream_socket_get_name($frozen, false))[1];
        $patroni = $this->cluster(
            Nodes::leader('pg1', '127.0.0.1', ['port' => $port]),
            Nodes::replica('pg2', '127.0.0.1', ['port' => $frozenPort]),
            Nodes::replica('pg3', 'no-such-host.invalid'),
            $this->server('HTTP/1.1 400 Bad Request')->asMember(Nodes::replica('pg4')),
            $this->server()->asMember(Nodes::replica('pg5', more: ['state' => 'creating replica'])),
            Nodes::replica('pg6', more: ['host' => null, 'port' => null, 'state' => 'starting']),
        );

        $outcome = $this->doctor(self::url($patroni));

        self::assertFound($outcome, 'member.unreachable', 'error', 'connection refused', "pg1 at 127.0.0.1:$port");
        self::assertFound($outcome, 'member.unreachable', 'warning', 'connected, and no answer within 1.5 s', "pg2 at 127.0.0.1:$frozenPort");
        self::assertStringContainsString('frozen or overloaded', self::find($outcome, 'member.unreachable')[1]['advice']);
        self::assertFound($outcome, 'member.unresolved', 'warning', 'the name has no address (name or service not known)', 'pg3 at no-such-host.invalid:5432');
        self::assertFound($outcome, 'member.unreachable', 'warning', 'whoever listens there is not PostgreSQL', 'pg4');
        self::assertFound($outcome, 'member.state', 'warning', 'creating replica', 'pg5');
        self::assertFound($outcome, 'member.address', 'warning', 'announces no address that can be used (state starting)', 'pg6');
        self::assertFound($outcome, 'cluster.replicas', 'warning');
    }

    public function testTheOptionsOfAddressesAreHonoured(): void
    {
        $server = $this->server();
        $url = self::url($this->cluster(Nodes::leader(), Nodes::replica('pg2', '10.9.8.7')), "map=127.0.2.1=127.0.0.1:$server->port&allow_hosts=127.0.0.0/8");

        $outcome = $this->doctor($url);

        self::assertFound($outcome, 'member.reachable', 'ok', 'leader, running', "pg1 at 127.0.0.1:$server->port (announced as 127.0.2.1:5432)");
        self::assertFound($outcome, 'member.forbidden', 'warning', 'is outside allow_hosts', 'pg2 at 10.9.8.7:5432');
    }

    public function testALagThatKeepsReadersAwayIsAWarning(): void
    {
        $outcome = $this->doctor(self::url($this->cluster(
            $this->server()->asMember(Nodes::leader()),
            $this->server()->asMember(Nodes::replica('pg2', more: ['lag' => 5 << 20])),
            $this->server()->asMember(Nodes::replica('pg3', more: ['lag' => 'unknown'])),
        ), 'max_lag=1MiB'));

        self::assertFound($outcome, 'member.lag', 'warning', 'is 5.0 MiB behind, more than max_lag (1.0 MiB)', 'pg2');
        self::assertFound($outcome, 'member.lag', 'warning', 'its lag is unknown', 'pg3');
        self::assertFound($outcome, 'cluster.replicas', 'warning', 'none can be read from');
    }

    public function testAServerWithoutTlsIsAnErrorWhereTlsIsDemanded(): void
    {
        $outcome = $this->doctor(self::url($this->cluster($this->server()->asMember(Nodes::leader()), $this->server('S')->asMember(Nodes::replica())), 'sslmode=require&sslrootcert=/no/such/file'));

        self::assertFound($outcome, 'tls.member', 'error', 'takes no TLS, and sslmode=require demands it', 'pg1');
        self::assertFound($outcome, 'member.reachable', 'ok', 'takes TLS', 'pg2');
        self::assertFound($outcome, 'tls.file', 'error', 'can\'t be read', 'sslrootcert=/no/such/file');
        self::assertFound($outcome, 'tls.sslmode', 'notice');
    }

    public function testCertificatesAreJudged(): void
    {
        $authority = new Certificates($this->directory->path);
        $good = $this->patroni($this->healthy(), $authority->issue('good', 'IP:127.0.0.1', 200));
        $ending = $this->patroni($this->healthy(), $authority->issue('ending', 'IP:127.0.0.1', 5));
        $wrong = $this->patroni($this->healthy(), $authority->issue('wrong', 'IP:127.0.0.9', 200));
        mkdir("{$this->directory->path}/other");
        $foreign = $this->patroni($this->healthy(), (new Certificates("{$this->directory->path}/other"))->issue('foreign', 'IP:127.0.0.1', 200));
        $plain = $this->patroni($this->healthy());
        $all = implode(',', array_map(static fn(FakePatroni $one): string => $one->address(), [$good, $ending, $wrong, $foreign, $plain]));

        $outcome = $this->doctor("patroni+https://$all/app?patroni_cafile={$authority->file()}");

        self::assertFound($outcome, 'tls.certificate', 'ok', 'verified, good until 20', $good->address());
        self::assertFound($outcome, 'tls.expiry', 'warning', 'the certificate ends in ', $ending->address());
        self::assertFound($outcome, 'tls.endpoint', 'error', 'not for 127.0.0.1', $wrong->address());
        self::assertFound($outcome, 'tls.endpoint', 'error', 'TLS: the certificate ', $foreign->address());
        self::assertFound($outcome, 'endpoint.silent', 'warning', 'no TLS handshake within 1.5 s', $plain->address());
    }

    public function testAnApiThatSpeaksTlsWherePlainHttpIsConfiguredIsNamed(): void
    {
        $authority = new Certificates($this->directory->path);
        $secure = $this->patroni($this->healthy(), $authority->issue('good', 'IP:127.0.0.1', 200));

        $outcome = $this->doctor(self::url($secure));

        self::assertFound($outcome, 'endpoint.silent', 'warning', 'closed without an answer', $secure->address());
        self::assertStringContainsString('patroni+https://', self::find($outcome, 'endpoint.silent')[0]['advice']);
    }

    public function testClocksThatDifferAreFound(): void
    {
        $answer = fn(int $ahead): Answer => $this->healthy(headers: ['Date' => gmdate('D, d M Y H:i:s', time() + $ahead) . ' GMT']);
        [$right, $early, $late] = [$this->patroni($answer(0)), $this->patroni($answer(-3600)), $this->patroni($answer(90))];

        $outcome = $this->doctor(self::url([$right, $early, $late]));

        self::assertFound($outcome, 'clock.agrees', 'ok', '', $right->address());
        self::assertFound($outcome, 'clock.differs', 'warning', 'its clock is 60 min behind this host\'s', $early->address());
        self::assertFound($outcome, 'clock.differs', 'warning', 'ahead of this host\'s', $late->address());
        self::assertSame(1, $outcome->exitCode);
    }

    public function testACertificateWithoutNamesIsRefusedAsTheExtensionRefusesIt(): void
    {
        $authority = new Certificates($this->directory->path);
        $old = $this->patroni($this->healthy(), $authority->issue('localhost', '', 200));

        $outcome = $this->doctor("patroni+https://{$old->address('localhost')}/app?patroni_cafile={$authority->file()}");

        self::assertFound($outcome, 'cluster.discovery', 'error');
        self::assertFound($outcome, 'tls.endpoint', 'error', 'TLS: ', $old->address('localhost'));
    }

    public function testCertificatesOfDatabaseServersThatEndAreFound(): void
    {
        $authority = new Certificates($this->directory->path);
        $server = fn(string $name, int $days): FakePostgres => $this->server('S', $authority->issue($name, 'IP:127.0.0.1', $days));
        $patroni = $this->cluster(
            $server('good', 200)->asMember(Nodes::leader()),
            $server('ending', 5)->asMember(Nodes::replica('pg2')),
            $server('ended', 0)->asMember(Nodes::replica('pg3')),
            $this->server('S')->asMember(Nodes::replica('pg4')),
        );

        $loose = $this->doctor(self::url($patroni));
        $strict = $this->doctor(self::url($patroni, "sslmode=verify-full&sslrootcert={$authority->file()}"));

        self::assertCount(2, self::find($loose, 'tls.expiry'));
        self::assertFound($loose, 'tls.expiry', 'warning', 'the certificate ends in ', 'pg2 at 127.0.0.1');
        self::assertFound($loose, 'tls.expiry', 'warning', 'the certificate has ended on ', 'pg3 at 127.0.0.1');
        self::assertFound($strict, 'tls.expiry', 'error', 'the certificate has ended on ', 'pg3 at 127.0.0.1');
        self::assertFound($loose, 'tls.handshake', 'warning', 'no connection with it comes about', 'pg4 at 127.0.0.1');
    }

    public function testFilesOfCertificatesThatEndAreFound(): void
    {
        $authority = new Certificates($this->directory->path);
        $ended = $authority->issue('ended', 'IP:127.0.0.1', 0);
        $ending = $authority->issue('ending', 'IP:127.0.0.1', 5);
        $chain = $this->directory->write('chain.pem', file_get_contents($ending) . file_get_contents($authority->file()));
        $both = $this->directory->write('both.pem', file_get_contents($ended) . file_get_contents($authority->file()));

        $outcome = $this->doctor('patroni+https://' . self::deadAddress() . "/app?sslcert=$chain&sslrootcert=$both&patroni_cert=$ended&patroni_key={$this->directory->path}/ended.key&patroni_cafile=$ended");

        self::assertFound($outcome, 'tls.expiry', 'warning', 'the certificate ends in ', "sslcert=$chain");
        self::assertFound($outcome, 'tls.expiry', 'error', 'the certificate has ended on ', "patroni_cert=$ended");
        self::assertFound($outcome, 'tls.expiry', 'error', 'the certificate has ended on ', "patroni_cafile=$ended");
        self::assertCount(3, self::find($outcome, 'tls.expiry'), 'another authority in that file is good');
    }

    public function testADcsThatHangsIsTold(): void
    {
        $patroni = $this->patroni(Answer::silence());
        $own = Answer::json(['role' => 'replica', 'state' => 'running', 'patroni' => ['version' => '4.1.5', 'scope' => 'app', 'name' => 'pg1']]);
        // GET /cluster goes first.
        $patroni->answersInTurn(Answer::silence(), $own, Answer::silence());

        $outcome = $this->doctor(self::url($patroni));

        self::assertFound($outcome, 'endpoint.dcs', 'warning', 'pg1, replica, running: answers GET /patroni, and GET /cluster not: connected, and no answer within 1.5 s', $patroni->address());
        self::assertStringContainsString('etcd', self::find($outcome, 'endpoint.dcs')[0]['advice']);
        self::assertSame([], self::find($outcome, 'endpoint.silent'));
    }

    public function testAnEntryOfMapThatNamesOnlyAHostKeepsThePortOfTheApi(): void
    {
        $server = $this->server();
        $dead = self::deadAddress();
        $api = (int) explode(':', $dead)[1];
        $patroni = $this->cluster(Nodes::leader('pg1', 'DB1.example.test', ['api_url' => "http://db1.example.test:$api/patroni"]));

        $outcome = $this->doctor(self::url($patroni, "map=db1.example.test.=127.0.0.1:$server->port"));

        self::assertFound($outcome, 'member.reachable', 'ok', '', "pg1 at 127.0.0.1:$server->port");
        self::assertFound($outcome, 'member.api', 'warning', 'connection refused', "pg1 at $dead");
    }

    public function testSrvRecordsAreLookedUp(): void
    {
        [$patroni, $dead] = [$this->patroni($this->healthy()), self::deadAddress()];
        $dns = new FakeDns([(int) explode(':', $patroni->address())[1], (int) explode(':', $dead)[1]]);
        try {
            $found = $this->doctor("patroni+srv://pg.example.test/app?nameserver=127.0.0.1:$dns->port");
            $missing = $this->doctor("patroni+srv://nx.example.test/app?nameserver=127.0.0.1:$dns->port");
        } finally {
            $dns->stop();
        }
        $silent = $this->doctor('patroni+srv://pg.example.test/app?nameserver=' . self::deadAddress());

        self::assertFound($found, 'srv.lookup', 'ok', "localhost:$dns->first", '_patroni._tcp.pg.example.test');
        self::assertFound($found, 'endpoint.answers', 'ok', '', "localhost:$dns->first");
        self::assertFound($found, 'endpoint.unreachable', 'warning');
        self::assertFound($missing, 'srv.lookup', 'error', 'NXDOMAIN');
        self::assertFound($silent, 'srv.lookup', 'error');
    }

    public function testSharedMemoryThatCannotBeUsedIsFound(): void
    {
        $url = self::url($this->patroni($this->healthy()));
        $file = $this->directory->write('file', '');

        self::assertFound($this->doctor($url, "--shared-dir=$file"), 'shm.unusable', 'warning', 'is no directory');
        self::assertFound($this->doctor($url, '--shared-dir=/proc/self'), 'shm.unusable', 'warning', "a file can't be made there");
        self::assertSame(['.', '..', 'file', 'pool.conf'], scandir($this->directory->path), 'nothing is left behind');
    }

    public function testAPoolThatDoesNotSeeTheEnvironmentIsFound(): void
    {
        $url = self::url($this->patroni($this->healthy()));
        $pool = $this->directory->write('www.conf', "; a comment\n[global]\nclear_env = no\n[www]\nuser = www-data\n;clear_env = no\n[own]\nenv[HADSN_URL] = \$HADSN_URL ; here\n[admin]\nphp_admin_value[hadsn.url] = x\n[open]\nclear_env = \"no\"\n");
        $words = ['doctor', '--json', "--fpm-pool=$pool"];

        $outcome = self::hadsn($words, ['HADSN_URL' => $url]);
        $ini = self::hadsn($words, [], ['hadsn.url' => $url]);

        self::assertFound($outcome, 'fpm.clear_env', 'warning', 'clear_env is on: requests do not see HADSN_URL', "pool www ($pool)");
        self::assertCount(1, self::find($outcome, 'fpm.clear_env'));
        self::assertFound($outcome, 'fpm.own', 'ok', 'has env[HADSN_URL]', 'pool own');
        self::assertFound($outcome, 'fpm.own', 'ok', 'has php_admin_value[hadsn.url]', 'pool admin');
        self::assertFound($outcome, 'fpm.environment', 'ok', 'clear_env = no', 'pool open');
        self::assertSame([], self::find($ini, 'fpm.clear_env'));
        // What a container image adds in a file of its own counts too.
        $this->directory->write('zz.conf', "[www]\nclear_env = no\n");
        self::assertSame([], self::find(self::hadsn(['doctor', '--json', "--fpm-pool={$this->directory->path}/*.conf"], ['HADSN_URL' => $url]), 'fpm.clear_env'));
        self::assertSame(2, self::hadsn(['doctor', '--fpm-pool=/no/such/*'], ['HADSN_URL' => $url])->exitCode);
    }

    public function testAPasswordThatOthersCanReadIsFound(): void
    {
        $patroni = $this->patroni($this->healthy());
        $url = "patroni://app:hunter2@{$patroni->address()}/app";
        $file = $this->directory->write('source', $url);
        chmod($file, 0644);
        $words = ['doctor', '--json', "--fpm-pool={$this->pool()}"];

        self::assertFound(self::hadsn($words, ['HADSN_URL' => $url]), 'configuration.secret', 'notice', 'holds a password');
        self::assertFound(self::hadsn([...$words, "--source=$url"]), 'configuration.secret', 'warning', 'holds a password');
        self::assertFound(self::hadsn($words, ['HADSN_URL_FILE' => $file]), 'configuration.secret', 'warning', 'everybody on this machine may read it', $file);
        chmod($file, 0640);
        self::assertSame([], self::find(self::hadsn($words, ['HADSN_URL_FILE' => $file]), 'configuration.secret'));
        // A php.ini is readable for everybody unless somebody has seen to it.
        $ini = $this->directory->write('hadsn.ini', "; comment\nhadsn.url = \"$url\"\n");
        chmod($ini, 0644);
        self::assertFound(self::hadsn($words, ['PHP_INI_SCAN_DIR' => ":{$this->directory->path}"]), 'configuration.secret', 'warning', 'everybody on this machine may read it', $ini);
        chmod($ini, 0640);
        self::assertSame([], self::find(self::hadsn($words, ['PHP_INI_SCAN_DIR' => ":{$this->directory->path}"]), 'configuration.secret'));
    }

    public function testAWrongConfigurationIsAnErrorAndTheRestIsCheckedAllTheSame(): void
    {
        foreach ([['HADSN_URL' => 'patroni://a/app?poll=5'], ['HADSN_URL_FILE' => '/no/such/file'], []] as $env) {
            $outcome = self::hadsn(['doctor', '--json', "--fpm-pool={$this->pool()}"], $env);

            self::assertSame(2, $outcome->exitCode);
            self::assertFound($outcome, 'configuration.source', 'error');
            self::assertFound($outcome, 'shm.usable', 'ok');
        }
    }

    public function testAFileThatCanNotBeReadIsNoMistakeInTheSourceString(): void
    {
        $outcome = $this->doctor(self::url($this->cluster(...$this->reachable())), '--user=app', '--password-file=/no/such/file');

        self::assertFound($outcome, 'configuration.source', 'error', 'file "/no/such/file": can\'t be read: no such file or directory');
        self::assertSame('name a file that this user can read', self::find($outcome, 'configuration.source')[0]['advice']);
    }

    public function testMembersOfTheSourceThatDoesNotCountAreNotMissing(): void
    {
        $other = $this->cluster(Nodes::replica('a1'));
        $patroni = $this->cluster(...$this->reachable());

        $outcome = $this->doctor(self::url($other) . " patroni://{$patroni->address()}");

        self::assertFound($outcome, 'cluster.leader', 'ok', 'pg1');
        self::assertSame([], self::find($outcome, 'member.address'));
    }

    public function testItEndsSoonHoweverManySourcesAreSilent(): void
    {
        $frozen = stream_socket_server('tcp://127.0.0.1:0');
        $address = (string) stream_socket_get_name($frozen, false);
        $hole = stream_socket_server('udp://127.0.0.1:0', $code, $reason, STREAM_SERVER_BIND);
        $url = "patroni+srv://a.example.test/app?nameserver=" . stream_socket_get_name($hole, false) . ' patroni+srv://b.example.test'
            . str_repeat(" patroni+https://$address patroni://$address", 5);

        $outcome = $this->doctor($url);

        self::assertLessThan(10.0, $outcome->json()['seconds']);
        self::assertFound($outcome, 'srv.lookup', 'error', ': no answer within 1.5 s', '_patroni._tcp.a.example.test');
        self::assertFound($outcome, 'srv.lookup', 'error', ': no answer within 1.5 s', '_patroni._tcp.b.example.test');
        self::assertCount(10, self::find($outcome, 'endpoint.silent'));
        self::assertCount(10, self::find($outcome, 'endpoint.none'));
    }

    public function testAnAnswerOfAMillionTinyChunksDoesNotHoldItUp(): void
    {
        $patroni = $this->patroni(Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" . str_repeat("1\r\nx\r\n", 170_000) . "0\r\n\r\n"));

        $outcome = $this->doctor(self::url($patroni));

        self::assertFound($outcome, 'endpoint.nonsense', 'warning', 'not a description of a cluster');
        self::assertLessThan(self::SOON, $outcome->json()['seconds']);
    }

    public function testNothingOfALongFindingIsCutOff(): void
    {
        $dead = array_map(static fn(): string => self::deadAddress(), range(1, 12));
        $frozen = stream_socket_server('tcp://127.0.0.1:0');
        $leader = Nodes::leader('pg1', '127.0.0.1', ['port' => (int) explode(':', (string) stream_socket_get_name($frozen, false))[1]]);

        self::assertFound($this->doctor(self::url($dead)), 'cluster.discovery', 'error', "{$dead[11]}: connection refused");
        self::assertStringEndsWith('patronictl failover', self::find($this->doctor(self::url($this->cluster($leader))), 'member.unreachable')[0]['advice']);
    }

    public function testItEndsSoonHoweverManyAreSilent(): void
    {
        $silent = [];
        for ($i = 0; $i < 6; ++$i) {
            $silent[] = $this->patroni(Answer::silence());
        }
        $frozen = stream_socket_server('tcp://127.0.0.1:0');
        $port = (int) explode(':', (string) stream_socket_get_name($frozen, false))[1];
        $members = [];
        for ($i = 2; $i < 12; ++$i) {
            $members[] = Nodes::replica("pg$i", '127.0.0.1', ['port' => $port, 'api_url' => "http://{$silent[0]->address()}/patroni"]);
        }
        $patroni = $this->cluster(Nodes::leader('pg1', '127.0.0.1', ['port' => $port]), ...$members);

        $outcome = $this->doctor(self::url([...$silent, $patroni], 'timeout=60s&connect_timeout=60s&failover_timeout=10m'), '--user=app');

        self::assertLessThan(10.0, $outcome->json()['seconds']);
        self::assertCount(6, self::find($outcome, 'endpoint.silent'));
        self::assertCount(11, self::find($outcome, 'member.unreachable'));
    }

    public function testAnApiThatAMemberAnnouncesAndNobodyCanReachIsAWarning(): void
    {
        $dead = self::deadAddress();
        $outcome = $this->doctor(self::url($this->cluster($this->server()->asMember(Nodes::leader(more: ['api_url' => "http://$dead/patroni"])))));

        self::assertFound($outcome, 'member.api', 'warning', 'its REST API can\'t be reached: connection refused', "pg1 at $dead");
    }

    public function testAServerThatSaysNothingToALoginIsCalledSilent(): void
    {
        // Longer than a login may take, which libpq ends with "timeout expired" before doctor does.
        $server = new Process([PHP_BINARY, '-n', '-r', <<<'PHP'
            $listener = stream_socket_server('tcp://127.0.0.1:0');
            echo stream_socket_get_name($listener, false), "\n";
            for ($kept = []; ($socket = stream_socket_accept($listener, 60)) !== false; $kept[] = $socket) {
                fread($socket, 8);
                fwrite($socket, 'N');
            }
            PHP]);
        $port = (int) $server->waitFor('~:(\d+)\n~', 20.0)[1];

        $outcome = $this->doctor(self::url($this->cluster(Nodes::leader('pg1', '127.0.0.1', ['port' => $port]))), '--user=app');

        self::assertFound($outcome, 'login.silent', 'error', 'timeout expired', 'pg1');
    }

    public function testAProcessThatWaitsForALoginDoesNotOutliveIt(): void
    {
        $code = 'require $argv[1]; HaDsn\Console\Net\Children::run(\'file_put_contents(json_decode(stream_get_contents(STDIN)), getmypid()); sleep(60);\', [$argv[2]], 1.0);';
        $file = "{$this->directory->path}/child";
        $doctor = new Process([PHP_BINARY, '-r', $code, '--', __DIR__ . '/../Connection/autoload.php', $file]);
        self::await(static fn(): bool => is_file($file) && (int) file_get_contents($file) > 0, 'the child runs');

        $doctor->signal(SIGKILL);

        // One that has ended, and that nobody has waited for yet, has no command line.
        $command = '/proc/' . file_get_contents($file) . '/cmdline';
        self::await(static fn(): bool => !is_file($command) || file_get_contents($command) === '', 'the child has ended');
        self::assertFileExists($file);
    }

    public function testAnAnnouncedApiIsReachedAtAnyAddressOfItsName(): void
    {
        require_once __DIR__ . '/../Connection/autoload.php';
        $said = Announcement::ofApi(new Api(new Endpoint('127.0.0.1', 8008), ['members' => [
            ['name' => 'pg1', 'host' => '127.0.0.1', 'api_url' => "http://{$this->cluster(Nodes::leader())->address('db1')}/patroni"],
        ]], null));
        $report = new Report();

        // There is an address of the name at which nobody listens, as ::1 often is.
        (new AnnouncedApis($said, [], [], Source::parse('patroni://127.0.0.1/app')))->check(['db1' => ['127.0.0.2', '127.0.0.1']], 5.0, $report);

        self::assertSame(Level::Ok, $report->worst());
    }

    public function testWherePhpMayStartNoProcessTheRestIsChecked(): void
    {
        $patroni = $this->cluster(...[...$this->reachable(), Nodes::replica('pg3', 'localhost')]);

        $outcome = self::hadsn(['doctor', '--json', '--user=app'], ['HADSN_URL' => self::url($patroni)], ['disable_functions' => 'proc_open']);

        self::assertFound($outcome, 'member.reachable', 'ok', 'leader, running', 'pg1');
        self::assertFound($outcome, 'member.unresolved', 'warning', 'proc_open() is disabled', 'pg3');
        self::assertFound($outcome, 'login.skipped', 'warning', 'proc_open() is disabled');
    }

    public function testCtrlCEndsItAtOnce(): void
    {
        $silent = $this->patroni(Answer::silence());
        $doctor = self::start(['doctor'], ['HADSN_URL' => self::url($silent)]);
        self::await(static fn(): bool => $silent->count() > 0, 'it asks');

        $doctor->signal(SIGINT);
        $outcome = $doctor->wait(20.0);

        self::assertSame([130, ''], [$outcome->exitCode, $outcome->stdout . $outcome->stderr]);
    }

    /**
     * What a node says at /cluster and at /patroni, in one: a leader and a replica that can be reached.
     *
     * @param array<string, mixed>  $more
     * @param array<string, string> $headers
     */
    private function healthy(array $more = [], array $headers = []): Answer
    {
        $members = [$this->server()->asMember(Nodes::leader()), $this->server()->asMember(Nodes::replica(more: ['api_url' => null]))];
        $body = $more + ['members' => $members, 'scope' => 'app', 'role' => 'primary', 'state' => 'running', 'patroni' => ['version' => '4.1.5', 'scope' => 'app', 'name' => 'pg1']];

        return Answer::status(200, $headers + ['Date' => gmdate('D, d M Y H:i:s') . ' GMT'], json_encode($body, JSON_THROW_ON_ERROR));
    }

    private function pool(): string
    {
        return $this->directory->write('pool.conf', "[www]\nclear_env = no\n");
    }

    private function doctor(string $url, string ...$words): Outcome
    {
        return self::hadsn(['doctor', '--json', "--fpm-pool={$this->pool()}", ...$words], ['HADSN_URL' => $url]);
    }
}
