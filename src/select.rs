//! Topology + policy → the members to use, and which of them now. Pure.

use crate::config::{ReaderPolicy, Strategy};
use crate::error::shown;
use crate::position::{Lsn, Position};
use crate::topology::{Member, Topology};

/// A chosen member, with what `reach` gave for it.
pub type Reached<'a, R> = (&'a Member, R);

/// The replicas that may be read from under `policy`, as far as `reach` finds a way to them. The
/// order is the topology's; with [`Strategy::LeastLag`] only those that are the least behind.
///
/// With `after`, only those that are known to have replayed so far on the same timeline.
///
/// Streaming replicas; while nobody leads (`has_leader`), or none of them streams, also those that `run` or recover from the
/// archive: all replicas stop streaming at once when the leader is gone, and Patroni goes on naming it until
/// its lock expires. When nothing else is left, the leader of a standby cluster.
///
/// # Errors
///
/// Why each replica was left out.
pub fn readers<'a, R, E: std::fmt::Display>(
    topology: &'a Topology,
    has_leader: bool,
    policy: &ReaderPolicy,
    after: Option<Position>,
    reach: impl Fn(&Member) -> Result<R, E>,
) -> Result<Vec<Reached<'a, R>>, String> {
    let must_stream = has_leader && topology.replicas().any(|member| member.state == STREAMING);
    let mut fitting = Vec::new();
    let mut reasons = Vec::new();
    for member in topology.replicas().chain(topology.standby_leader()) {
        match fits(member, policy, must_stream).and_then(|()| has_replayed(member, after)) {
            Err(reason) => reasons.push(format!("{} {reason}", shown(&member.name))),
            Ok(()) => match reach(member) {
                Ok(reached) => fitting.push((member, reached)),
                Err(reason) => reasons.push(format!("{}: {reason}", shown(&member.name))),
            },
        }
    }
    if fitting.iter().any(|(member, _)| member.role.is_replica()) {
        fitting.retain(|(member, _)| member.role.is_replica());
    }
    if policy.strategy == Strategy::LeastLag {
        let behind = |member: &Member| member.lag.unwrap_or(u64::MAX);
        let least = fitting.iter().map(|(member, _)| behind(member)).min();
        fitting.retain(|(member, _)| Some(behind(member)) == least);
    }
    if fitting.is_empty() {
        return Err(match reasons.is_empty() {
            true => "the cluster has no replica".to_owned(),
            false => reasons.join("; "),
        });
    }
    Ok(fitting)
}

/// Which of `count` fitting replicas to take: `turn` is the number of this choice, `random` any number.
pub fn pick(strategy: Strategy, count: usize, turn: usize, random: usize) -> usize {
    let number = match strategy {
        Strategy::Random => random,
        Strategy::RoundRobin | Strategy::LeastLag | Strategy::Nearest => turn,
    };
    number.checked_rem(count).unwrap_or(0)
}

/// Patroni's word for the state of a replica that receives what the leader writes.
const STREAMING: &str = "streaming";

fn fits(member: &Member, policy: &ReaderPolicy, must_stream: bool) -> Result<(), String> {
    if member.is_noloadbalance() {
        return Err("is tagged noloadbalance".into());
    }
    let is_up = match member.state.as_str() {
        STREAMING => true,
        "running" | "in archive recovery" => !must_stream || !member.role.is_replica(),
        _ => false,
    };
    if !is_up {
        return Err(format!("is in state {}", shown(&member.state)));
    }
    if policy.sync_only && !member.role.is_synchronous() {
        return Err("is not a synchronous standby".into());
    }
    match (policy.max_lag, member.lag) {
        (None, _) => Ok(()),
        (Some(max), Some(lag)) if lag <= max => Ok(()),
        (Some(max), Some(lag)) => Err(format!("is {lag} bytes behind, more than {max}")),
        (Some(_), None) => Err("is behind by an unknown number of bytes".into()),
    }
}

fn has_replayed(member: &Member, after: Option<Position>) -> Result<(), String> {
    match (after, member.timeline, member.replayed) {
        (None, ..) => Ok(()),
        (Some(after), Some(timeline), Some(replayed)) if timeline == after.timeline && replayed >= after.lsn => Ok(()),
        (Some(after), ..) => Err(format!("is not known to have replayed {}", Lsn(after.lsn))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Endpoint;
    use crate::config::Fallback;
    use crate::topology::{Role, Tag};

    const POLICY: ReaderPolicy =
        ReaderPolicy { strategy: Strategy::RoundRobin, fallback: Fallback::Writer, sync_only: false, max_lag: None };

    fn member(name: &str, role: &str, state: &str, lag: Option<u64>) -> Member {
        Member {
            name: name.into(),
            endpoint: Endpoint::parse("10.0.0.1", 5432).unwrap(),
            role: Role::parse(role),
            state: state.into(),
            timeline: Some(1),
            lag,
            replayed: None,
            tags: Vec::new(),
            api_url: None,
        }
    }

    fn cluster() -> Topology {
        Topology {
            members: vec![
                member("l", "leader", "running", None),
                member("near", "sync_standby", "streaming", Some(0)),
                member("far", "replica", "streaming", Some(9000)),
                member("lost", "replica", "streaming", None),
                member("down", "replica", "stopped", Some(0)),
                member("cut", "replica", "running", Some(0)),
            ],
            ..Topology::default()
        }
    }

    fn names(topology: &Topology, policy: &ReaderPolicy) -> Result<Vec<String>, String> {
        let has_leader = topology.leader().is_ok();
        let reached = readers(topology, has_leader, policy, None, |_| Ok::<_, String>(()))?;
        Ok(reached.into_iter().map(|(m, ())| m.name.clone()).collect())
    }

    #[test]
    fn streaming_replicas_are_read_from() {
        assert_eq!(names(&cluster(), &POLICY).unwrap(), ["near", "far", "lost"]);
    }

    #[test]
    fn while_nobody_leads_running_replicas_are_read_from_too() {
        let mut topology = cluster();
        topology.members.remove(0);
        assert_eq!(names(&topology, &POLICY).unwrap(), ["near", "far", "lost", "cut"]);
    }

    #[test]
    fn a_leader_that_no_replica_follows_is_taken_for_dead() {
        let mut topology = cluster();
        topology.members[1].state = "running".into();
        topology.members[2].state = "in archive recovery".into();
        topology.members[3].state = "running".into();
        assert_eq!(names(&topology, &POLICY).unwrap(), ["near", "far", "lost", "cut"]);
    }

    #[test]
    fn an_unknown_lag_exceeds_every_max_lag() {
        let policy = ReaderPolicy { max_lag: Some(9000), ..POLICY };
        assert_eq!(names(&cluster(), &policy).unwrap(), ["near", "far"]);
        let policy = ReaderPolicy { max_lag: Some(8999), ..POLICY };
        assert_eq!(names(&cluster(), &policy).unwrap(), ["near"]);
    }

    #[test]
    fn sync_least_lag_and_noloadbalance_narrow_the_choice() {
        let policy = ReaderPolicy { sync_only: true, ..POLICY };
        assert_eq!(names(&cluster(), &policy).unwrap(), ["near"]);
        let policy = ReaderPolicy { strategy: Strategy::LeastLag, ..POLICY };
        assert_eq!(names(&cluster(), &policy).unwrap(), ["near"]);
        let mut topology = cluster();
        topology.members[1].tags = vec![("noloadbalance".into(), Tag::Bool(true))];
        assert_eq!(names(&topology, &policy).unwrap(), ["far"]);
    }

    #[test]
    fn a_standby_leader_is_read_from_only_when_it_stands_alone() {
        let mut topology = Topology {
            members: vec![member("sl", "standby_leader", "running", None), member("r", "replica", "streaming", None)],
            ..Topology::default()
        };
        assert_eq!(names(&topology, &POLICY).unwrap(), ["r"]);
        topology.members.pop();
        assert_eq!(names(&topology, &POLICY).unwrap(), ["sl"]);
    }

    #[test]
    fn when_nothing_fits_every_replica_has_its_reason() {
        let policy = ReaderPolicy { max_lag: Some(0), sync_only: true, ..POLICY };
        let mut topology = cluster();
        topology.members.remove(1);
        let why = names(&topology, &policy).unwrap_err();
        for name in ["far", "lost", "down", "cut"] {
            assert!(why.contains(&format!("\"{name}\" is")), "{why}");
        }
        topology.members.clear();
        assert_eq!(names(&topology, &POLICY).unwrap_err(), "the cluster has no replica");
    }

    #[test]
    fn only_replicas_known_to_have_replayed_so_far_are_read_from_after_a_write() {
        let mut topology = cluster();
        (topology.members[1].replayed, topology.members[2].replayed) = (Some(500), Some(499));
        topology.members.push(Member { timeline: Some(2), replayed: Some(900), ..topology.members[1].clone() });
        topology.members.push(Member { timeline: None, replayed: Some(900), ..topology.members[1].clone() });
        let after = |lsn| {
            let after = Some(Position { timeline: 1, lsn });
            let reached = readers(&topology, true, &POLICY, after, |_| Ok::<_, String>(()))?;
            Ok::<_, String>(reached.into_iter().map(|(m, ())| m.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(after(499).unwrap(), ["near", "far"]);
        assert_eq!(after(500).unwrap(), ["near"]);
        assert!(after(501).unwrap_err().contains("\"near\" is not known to have replayed 0/1F5"));
    }

    #[test]
    fn round_robin_takes_turns_and_random_is_even() {
        let turns: Vec<_> = (0..6).map(|turn| pick(Strategy::RoundRobin, 3, turn, 7)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        let mut shares = [0; 3];
        for _ in 0..30_000 {
            shares[pick(Strategy::Random, 3, 0, fastrand::usize(..))] += 1;
        }
        assert!(shares.iter().all(|n| (9_500..=10_500).contains(n)), "{shares:?}");
        assert_eq!(pick(Strategy::RoundRobin, 0, 5, 5), 0);
    }
}
