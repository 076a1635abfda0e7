<?php

declare(strict_types=1);

namespace HaDsn;

/**
 * The members of a cluster, as one source described them at one moment. Made by {@see \HaDsn::topology()} only.
 */
final class Topology
{
    /** The name of the cluster that was asked for. */
    public readonly string $cluster;

    /** The member that leads, one of {@see Topology::$members}; null while nobody does. */
    public readonly ?Member $leader;

    /**
     * Every member with a usable address, in the order of the source.
     *
     * @var list<Member>
     */
    public readonly array $members;

    /** The leader's timeline; null without a leader, or if it is unknown. */
    public readonly ?int $timeline;

    /** The cluster's system identifier, as a leader has told it by its own API or by SQL; null until one has. */
    public readonly ?string $systemIdentifier;

    /** The source URL that answered, without secrets. */
    public readonly string $source;

    /** How old the description was when this object was made, in seconds. */
    public readonly float $age;

    /** Grows whenever the description is renewed or called in question. */
    public readonly int $epoch;

    private function __construct() {}
}
