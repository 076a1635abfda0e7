//! What a cluster looks like: its members, who leads, who follows. Pure data, no I/O, no clock.

use std::fmt;

use crate::address::Endpoint;

/// The members of a cluster, as one source described them at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topology {
    /// Members with an address, in the order of the source.
    pub members: Vec<Member>,
    /// Members that can't be connected to, and why.
    pub rejected: Vec<Rejected>,
    /// Patroni's name of the cluster (`scope`), if it tells it.
    pub scope: Option<String>,
    /// Patroni is in maintenance mode: it replaces no leader.
    pub is_paused: bool,
}

impl Topology {
    /// The member that leads: its role is leader, it runs, and nobody else claims as much. Of two on
    /// different timelines the higher one leads, since the other was deposed; even when the higher one can't
    /// be used yet.
    ///
    /// # Errors
    ///
    /// Why nobody does.
    pub fn leader(&self) -> Result<&Member, NoLeader> {
        let members = self.members.iter().map(|m| (&m.role, &m.name, m.timeline));
        let rejected = self.rejected.iter().map(|m| (&m.role, &m.name, m.timeline));
        let mut claims: Vec<_> = members.chain(rejected).filter(|(role, ..)| **role == Role::Leader).collect();
        claims.sort_by_key(|(_, _, timeline)| std::cmp::Reverse(*timeline));
        if let [(_, one, timeline), (_, other, second), rest @ ..] = claims.as_slice() {
            // An unknown timeline may be the highest. It is the last here.
            let is_unknown = rest.last().map_or(*second, |(_, _, last)| *last).is_none();
            if timeline == second || is_unknown {
                return Err(NoLeader::Split {
                    names: [(*one).clone(), (*other).clone()],
                    timeline: if is_unknown { None } else { *timeline },
                });
            }
        }
        let top = claims.first().map(|(_, name, timeline)| (name.as_str(), *timeline));
        let is_top = |m: &&Member| m.role == Role::Leader && top == Some((m.name.as_str(), m.timeline));
        match self.members.iter().find(is_top) {
            Some(leader) if leader.is_running() => Ok(leader),
            Some(leader) => Err(NoLeader::NotRunning { name: leader.name.clone(), state: leader.state.clone() }),
            None => Err(self.why_no_leader()),
        }
    }

    /// Members that follow: synchronous, quorum and other replicas, in any state.
    pub fn replicas(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|m| m.role.is_replica())
    }

    /// The lock holder of a standby cluster: it can be read from, and never written to.
    pub fn standby_leader(&self) -> Option<&Member> {
        self.members.iter().find(|m| m.role == Role::StandbyLeader)
    }

    fn why_no_leader(&self) -> NoLeader {
        if let Some(member) = self.rejected.iter().find(|m| m.role == Role::Leader) {
            return NoLeader::Unusable { name: member.name.clone(), reason: member.reason.clone() };
        }
        match self.standby_leader() {
            Some(member) => NoLeader::Standby { name: member.name.clone() },
            None => NoLeader::Nobody { members: self.members.len() + self.rejected.len() },
        }
    }
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Patroni's name of the node.
    pub name: String,
    /// Where its PostgreSQL announces to listen.
    pub endpoint: Endpoint,
    /// Its role.
    pub role: Role,
    /// Patroni's word for the state: `running`, `streaming`, `stopped`, …
    pub state: String,
    /// The timeline it is on, if known.
    pub timeline: Option<u32>,
    /// Bytes behind the leader, if known.
    pub lag: Option<u64>,
    /// The log sequence number up to which it has replayed, if known.
    pub replayed: Option<u64>,
    /// Patroni tags, by name.
    pub tags: Vec<(String, Tag)>,
    /// The URL of its REST API.
    pub api_url: Option<String>,
}

impl Member {
    /// Whether PostgreSQL runs there as a primary would. An absent state is not held against it.
    fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "running" | "")
    }

    /// Whether the administrator keeps readers away (Patroni tag `noloadbalance`).
    pub fn is_noloadbalance(&self) -> bool {
        self.tags.iter().any(|(name, tag)| name == "noloadbalance" && tag.is_true())
    }
}

/// A member that was left out of the topology.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// Its name, as far as known.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The timeline it is on, if known.
    pub timeline: Option<u32>,
    /// What is wrong with it.
    pub reason: String,
}

/// A member's role, in Patroni's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Holds the lock of a primary cluster.
    Leader,
    /// Holds the lock of a standby cluster: replicates from another cluster, read-only.
    StandbyLeader,
    /// A synchronous standby.
    SyncStandby,
    /// A standby that counts for quorum commit.
    QuorumStandby,
    /// An asynchronous replica.
    Replica,
    /// A word that hadsn does not know: neither written to nor read from.
    Other(String),
}

impl Role {
    /// Reads Patroni's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "leader" => Self::Leader,
            "standby_leader" => Self::StandbyLeader,
            "sync_standby" => Self::SyncStandby,
            "quorum_standby" => Self::QuorumStandby,
            "replica" => Self::Replica,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Patroni's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Leader => "leader",
            Self::StandbyLeader => "standby_leader",
            Self::SyncStandby => "sync_standby",
            Self::QuorumStandby => "quorum_standby",
            Self::Replica => "replica",
            Self::Other(word) => word,
        }
    }

    /// Whether it follows a leader.
    pub fn is_replica(&self) -> bool {
        matches!(self, Self::SyncStandby | Self::QuorumStandby | Self::Replica)
    }

    /// Whether a commit waits for it.
    pub fn is_synchronous(&self) -> bool {
        matches!(self, Self::SyncStandby | Self::QuorumStandby)
    }
}

/// The value of a Patroni tag.
#[derive(Debug, Clone, PartialEq)]
pub enum Tag {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text; lists and maps are kept as their JSON text.
    Text(String),
    /// `null`.
    Null,
}

impl Tag {
    fn is_true(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            Self::Text(text) => text.eq_ignore_ascii_case("true"),
            _ => false,
        }
    }
}

/// Why nobody leads.
#[derive(Debug, Clone, PartialEq)]
pub enum NoLeader {
    /// No member has the role.
    Nobody {
        /// How many members there are.
        members: usize,
    },
    /// A member has it, and does not run.
    NotRunning {
        /// Its name.
        name: String,
        /// Its state.
        state: String,
    },
    /// A member has it, and its address can't be used.
    Unusable {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The cluster is a standby cluster.
    Standby {
        /// The name of its lock holder.
        name: String,
    },
    /// Two members claim it on the same timeline.
    Split {
        /// Two of them.
        names: [String; 2],
        /// Their timeline.
        timeline: Option<u32>,
    },
}

impl fmt::Display for NoLeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::error::shown;
        match self {
            Self::Nobody { members } => write!(f, "none of {members} members is the leader"),
            Self::NotRunning { name, state } => {
                write!(f, "the leader {} is in state {}", shown(name), shown(state))
            }
            Self::Unusable { name, reason } => write!(f, "the leader {} can't be used: {reason}", shown(name)),
            Self::Standby { name } => {
                write!(f, "{} is a standby_leader: this is a standby cluster, which takes no writes", shown(name))
            }
            Self::Split { names: [one, other], timeline } => {
                write!(f, "{} and {} both claim to be the leader on ", shown(one), shown(other))?;
                match timeline {
                    Some(timeline) => write!(f, "timeline {timeline}"),
                    None => f.write_str("an unknown timeline"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, role: &str, state: &str, timeline: Option<u32>) -> Member {
        Member {
            name: name.into(),
            endpoint: Endpoint::parse("10.0.0.1", 5432).unwrap(),
            role: Role::parse(role),
            state: state.into(),
            timeline,
            lag: None,
            replayed: None,
            tags: Vec::new(),
            api_url: None,
        }
    }

    fn leader_of(members: Vec<Member>) -> Result<String, NoLeader> {
        let topology = Topology { members, ..Topology::default() };
        topology.leader().map(|m| m.name.clone())
    }

    #[test]
    fn the_higher_timeline_leads() {
        let one = member("a", "leader", "running", Some(4));
        let two = member("b", "leader", "running", Some(5));
        assert_eq!(leader_of(vec![one.clone(), two.clone()]), Ok("b".into()));
        assert_eq!(leader_of(vec![two, one]), Ok("b".into()));
        assert_eq!(leader_of(vec![member("c", "leader", "running", None)]), Ok("c".into()));
    }

    #[test]
    fn a_deposed_leader_does_not_lead_while_the_new_one_cannot_be_used() {
        let old = member("a", "leader", "running", Some(4));
        let starting = member("b", "leader", "starting", Some(5));
        assert!(
            matches!(leader_of(vec![old.clone(), starting]), Err(NoLeader::NotRunning { name, .. }) if name == "b")
        );
        let unknown = member("b", "leader", "running", None);
        assert!(matches!(leader_of(vec![old.clone(), unknown]), Err(NoLeader::Split { timeline: None, .. })));
        let rejected =
            Rejected { name: "b".into(), role: Role::Leader, timeline: Some(5), reason: "it announces no host".into() };
        let topology = Topology { members: vec![old], rejected: vec![rejected], ..Topology::default() };
        assert!(matches!(topology.leader(), Err(NoLeader::Unusable { name, .. }) if name == "b"));
    }

    #[test]
    fn nobody_leads_when_two_claim_the_same_timeline() {
        for timeline in [Some(3), None] {
            let members = vec![member("a", "leader", "running", timeline), member("b", "leader", "running", timeline)];
            assert!(matches!(leader_of(members), Err(NoLeader::Split { .. })));
        }
    }

    #[test]
    fn a_stopped_leader_and_a_standby_leader_do_not_lead() {
        let stopped = vec![member("a", "leader", "stopped", Some(1))];
        assert!(matches!(leader_of(stopped), Err(NoLeader::NotRunning { .. })));
        let standby = vec![member("a", "standby_leader", "running", Some(1))];
        assert!(matches!(leader_of(standby), Err(NoLeader::Standby { .. })));
        let followers = vec![member("a", "replica", "streaming", Some(1)), member("b", "new_role", "running", None)];
        assert_eq!(leader_of(followers), Err(NoLeader::Nobody { members: 2 }));
        assert_eq!(leader_of(vec![]), Err(NoLeader::Nobody { members: 0 }));
    }

    #[test]
    fn noloadbalance_is_read_as_patroni_writes_it() {
        let mut m = member("a", "replica", "streaming", None);
        assert!(!m.is_noloadbalance());
        for (tag, expected) in [
            (Tag::Bool(true), true),
            (Tag::Text("True".into()), true),
            (Tag::Bool(false), false),
            (Tag::Int(1), false),
            (Tag::Null, false),
        ] {
            m.tags = vec![("noloadbalance".into(), tag)];
            assert_eq!(m.is_noloadbalance(), expected);
        }
    }
}
