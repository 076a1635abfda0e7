<?php

declare(strict_types=1);

namespace HaDsn\Tests\Unit;

use HaDsn;
use HaDsn\Tests\Support\Answer;
use HaDsn\Tests\Support\FakePatroni;
use HaDsn\Tests\Support\Nodes;
use HaDsn\Tests\Support\UnitTestCase;

/**
 * The writer moves only to a server that says itself that it is a primary, and never back in time unless all agree.
 */
final class BeliefTest extends UnitTestCase
{
    private const SYSTEM = '7350211234567890123';

    public function testTheLeaderTellsTheSystemIdentifier(): void
    {
        self::configure($this->clusterOf($this->primary('pg1', 3)));

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        self::assertSame(self::SYSTEM, HaDsn::topology()->systemIdentifier);
    }

    public function testWhereNoApiIsReachedTheSystemIdentifierIsNotKnown(): void
    {
        self::configure($this->cluster(...Nodes::healthy()));

        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));
        self::assertNull(HaDsn::topology()->systemIdentifier);
    }

    public function testTheLeaderIsAskedOnceAndKeptWithoutAsking(): void
    {
        $own = $this->primary('pg1', 3);
        self::configure($this->clusterOf($own));
        for ($i = 0; $i < 3; $i++) {
            HaDsn::writer();
            HaDsn::invalidate();
        }

        self::assertSame(['/patroni'], array_column($own->requests(), 'target'));
    }

    public function testALeaderThatIsStillPromotingIsWaitedFor(): void
    {
        $promoted = $this->patroni(self::own('pg2', ['role' => 'replica', 'state' => 'running']));
        $cluster = $this->clusterOf($this->primary('pg1', 3));
        self::configure($cluster, 'failover_timeout=1m');
        self::assertSame('127.0.2.1', self::host(HaDsn::writer()));

        $cluster->answers(Answer::members(Nodes::leader('pg2', '127.0.2.2', ['timeline' => 4] + self::api($promoted))));
        $replica = self::own('pg2', ['role' => 'replica', 'state' => 'running']);
        $promoted->answersInTurn($replica, $replica, $replica, self::own('pg2', ['timeline' => 4]));
        HaDsn::invalidate();

        self::assertSame('127.0.2.2', self::host(HaDsn::writer()));
        self::assertCount(4, $promoted->requests());
        self::assertSame(4, HaDsn::topology()->timeline);
    }

    public function testANewLeaderThatCannotBeAskedIsNotWrittenTo(): void
    {
        $cluster = $this->clusterOf($this->primary('pg1', 3));
        self::configure($cluster, 'failover_timeout=0s');
        HaDsn::writer();

        $cluster->answers(Answer::members(Nodes::leader('pg2', '127.0.2.2', ['timeline' => 4])));
        HaDsn::invalidate();

        self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer(), '"pg2" is named the leader', "can't be confirmed");
        self::assertNull(HaDsn::topology()->leader);
    }

    public function testALowerTimelineIsTakenAfterForget(): void
    {
        $cluster = $this->clusterOf($this->primary('pg1', 5), 5);
        self::configure($cluster, 'failover_timeout=0s');
        HaDsn::writer();

        $restored = $this->primary('pg2', 3);
        $cluster->answers(Answer::members(
            Nodes::leader('pg2', '127.0.2.2', ['timeline' => 3] + self::api($restored)),
            Nodes::replica('pg1', '127.0.2.1', ['timeline' => 5]),
        ));
        HaDsn::invalidate();
        self::assertThrows(HaDsn\NoLeaderException::class, static fn() => HaDsn::writer(), 'timeline 3', 'timeline 5', 'HaDsn::forget()');

        HaDsn::forget();
        self::assertSame('127.0.2.2', self::host(HaDsn::writer()));
    }

    public function testForgetConcernsOneCluster(): void
    {
        $other = $this->clusterOf($this->primary('pg1', 5));
        HaDsn::configure(self::url($other), 'other');
        HaDsn::writer('other');
        self::configure($this->cluster(...Nodes::healthy()));
        HaDsn::writer();

        HaDsn::forget();
        HaDsn::writer('other');

        self::assertSame(1, $other->count());
    }

    public function testForgetWantsAClusterThatIsConfigured(): void
    {
        self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::forget('nobody'), 'nobody');
        self::assertThrows(HaDsn\ConfigException::class, static fn() => HaDsn::forget('No Name'), 'No Name');
    }

    /** A Patroni that describes a leader pg1 with this API, and a replica. */
    private function clusterOf(FakePatroni $own, int $timeline = 3): FakePatroni
    {
        return $this->cluster(
            Nodes::leader('pg1', '127.0.2.1', ['timeline' => $timeline] + self::api($own)),
            Nodes::replica('pg2', '127.0.2.2', ['timeline' => $timeline]),
        );
    }

    /** The API of a node that is a primary. */
    private function primary(string $name, int $timeline): FakePatroni
    {
        return $this->patroni(self::own($name, ['timeline' => $timeline]));
    }

    /** @return array{api_url: string} */
    private static function api(FakePatroni $own): array
    {
        return ['api_url' => "http://{$own->address()}/patroni"];
    }

    /** @param array<string, mixed> $more */
    private static function own(string $name, array $more = []): Answer
    {
        return Answer::json($more + [
            'state' => 'running',
            'role' => 'primary',
            'timeline' => 3,
            'database_system_identifier' => self::SYSTEM,
            'patroni' => ['version' => '4.1.5', 'scope' => 'app', 'name' => $name],
        ]);
    }
}
