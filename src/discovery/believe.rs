//! Whom to believe: what endpoints say of a cluster, and what its servers say of themselves → who leads. Pure.
//!
//! An endpoint may be cut off, belong to another cluster, or lie. So the writer *moves* only to a server that says of
//! itself that it is a running primary, on a timeline that is not lower than the highest one confirmed before. It
//! *stays* without that: Patroni may be stopped for maintenance while PostgreSQL runs on.

mod claims;

use std::collections::HashMap;

use crate::address::Endpoint;
use crate::topology::{Member, Topology};

use claims::{Claim, Claims};

/// What is remembered of a cluster from one look to the next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beliefs {
    /// Who was believed to lead.
    pub writer: Option<Writer>,
    /// The highest timeline on which a leader was confirmed.
    pub highest: Option<u32>,
    /// The system identifier of the confirmed leader (`pg_control_system()`).
    pub system: Option<u64>,
    /// The Patroni scope of the view that named it.
    pub scope: Option<String>,
}

/// Who was believed to lead.
#[derive(Debug, Clone, PartialEq)]
pub struct Writer {
    /// The server, on the timeline that it was confirmed on.
    pub member: Member,
    /// Whether it has said so itself.
    pub is_confirmed: bool,
}

/// Everything that one look has found out so far.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What the endpoints that answered say, in the order in which they are to be believed.
    pub views: Vec<View>,
    /// What servers say of themselves, by their announced address.
    pub words: HashMap<Endpoint, Word>,
    /// What the last writer's PostgreSQL says, if it was asked.
    pub sql: Option<Word>,
    /// Whether it can be asked: somebody may log in.
    pub can_ask_sql: bool,
    /// How many endpoints were asked.
    pub asked: usize,
    /// How many of them have answered.
    pub answered: usize,
    /// Nobody is left to ask.
    pub is_complete: bool,
}

/// What one endpoint says of the cluster.
#[derive(Debug, Clone)]
pub struct View {
    /// The whole.
    pub topology: Topology,
    /// Who leads, and whether `allow_hosts` lets it be connected to; or why nobody does.
    pub leader: Result<(Member, bool), String>,
    /// The other endpoints of its list are not among its members: it may be another cluster's.
    pub is_odd: bool,
    /// It was put together from what servers say of themselves: nobody speaks for those that are silent.
    pub is_of_servers: bool,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It runs as a primary.
    Primary {
        /// Its timeline.
        timeline: Option<u32>,
        /// Its system identifier.
        system: Option<u64>,
    },
    /// It is something else.
    Other {
        /// What, as a fragment for a message.
        what: String,
        /// Its system identifier.
        system: Option<u64>,
    },
    /// It could not be asked, for this reason.
    Nothing(String),
}

/// What to do with the facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// They suffice.
    Believe(Box<Belief>),
    /// Ask the API of this member what it is.
    AskMember(Box<Member>),
    /// Ask the PostgreSQL of the last writer.
    AskWriter(Box<Member>),
    /// Ask the endpoints that were not asked yet.
    AskOthers,
}

/// What is believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Belief {
    /// The number of the view whose members are taken; `None` when all views are of another cluster.
    pub view: Option<usize>,
    /// Who leads, or why nobody does.
    pub leader: Result<Leader, String>,
    /// While nobody leads: who is named the leader, and is no primary yet. Whoever verifies that on the connection may try it.
    pub promoting: Option<Member>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Leader {
    /// The server.
    pub member: Member,
    /// On what grounds.
    pub ground: Ground,
}

/// On what grounds somebody is believed to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// It is the one that led before.
    Kept,
    /// It says so itself.
    Confirmed {
        /// Its timeline.
        timeline: Option<u32>,
        /// Its system identifier.
        system: Option<u64>,
    },
    /// An endpoint says so, and no server of the cluster could ever be asked itself.
    Told,
    /// An endpoint says so, and it must not be connected to.
    OutOfReach,
}

impl Beliefs {
    /// Whether a leader has ever been confirmed: from then on others have to be, too.
    pub fn is_confirmed(&self) -> bool {
        self.system.is_some() || self.highest.is_some() || self.writer.as_ref().is_some_and(|w| w.is_confirmed)
    }

    /// What is remembered after `belief` about `facts`.
    #[must_use]
    pub fn after(&self, belief: &Belief, facts: &Facts) -> Self {
        let Ok(leader) = &belief.leader else { return self.clone() };
        let scope = belief.view.and_then(|view| facts.views.get(view)).and_then(|view| view.topology.scope.clone());
        let mut next = self.clone();
        let mut member = leader.member.clone();
        match leader.ground {
            Ground::OutOfReach => {}
            Ground::Kept => {
                let known = self.writer.as_ref();
                member.timeline = known.and_then(|writer| writer.member.timeline).or(member.timeline);
                next.writer = Some(Writer { member, is_confirmed: known.is_some_and(|writer| writer.is_confirmed) });
            }
            Ground::Told => {
                next.writer = Some(Writer { member, is_confirmed: false });
                next.scope = scope.or(next.scope);
            }
            Ground::Confirmed { timeline, system } => {
                member.timeline = timeline;
                next.writer = Some(Writer { member, is_confirmed: true });
                next.scope = scope.or(next.scope);
                next.system = system.or(next.system);
                // A lower one, or that of another cluster, was let through by the rule: it counts anew. What only an endpoint says
                // of the timeline does not count.
                let own = |word: &Word| match word {
                    Word::Primary { timeline, .. } => *timeline,
                    Word::Other { .. } | Word::Nothing(_) => None,
                };
                let mut words = facts.words.get(&leader.member.endpoint).into_iter().chain(&facts.sql);
                next.highest = words.find_map(own).or(next.highest);
            }
        }
        next
    }

    fn is_foreign(&self, system: Option<u64>) -> bool {
        matches!((self.system, system), (Some(known), Some(other)) if known != other)
    }

    fn is_lower(&self, timeline: Option<u32>) -> bool {
        matches!((self.highest, timeline), (Some(highest), Some(timeline)) if timeline < highest)
    }

    /// Whether the confirmed leader is another server on the same timeline. One that only changed its address keeps its name.
    fn is_rival(&self, member: &Member, timeline: Option<u32>) -> bool {
        let Some(Writer { member: known, is_confirmed: true }) = &self.writer else { return false };
        // A server that was asked by SQL has no name but its address: it may be the same one.
        let has_name = |member: &Member| member.name != member.endpoint.to_string();
        has_name(member)
            && has_name(known)
            && timeline.is_some()
            && timeline == known.timeline
            && known.endpoint != member.endpoint
            && known.name != member.name
    }

    fn is_writer(&self, member: &Member) -> bool {
        let Some(Writer { member: known, .. }) = &self.writer else { return false };
        let is_same_timeline = member.timeline.is_none() || member.timeline == known.timeline;
        known.endpoint == member.endpoint && is_same_timeline
    }
}

/// What to make of `facts`, knowing `beliefs`.
pub fn judge(beliefs: &Beliefs, facts: &Facts) -> Judgement {
    let claims = Claims::of(beliefs, facts);
    // Endpoints of two clusters in one list: nothing is known yet that would tell which is ours.
    let is_dubious = beliefs.writer.is_none() && facts.views.iter().any(|view| view.is_odd);
    if let Some(claim) = claims.to_be_asked(is_dubious) {
        return Judgement::AskMember(Box::new(claim.member.clone()));
    }
    let has_accepted = claims.accepted().next().is_some();
    if !facts.is_complete && (is_dubious || !has_accepted && !claims.is_plausible(beliefs)) {
        return Judgement::AskOthers;
    }
    let leader = if has_accepted {
        claims.best(is_dubious)
    } else {
        // Told ones go before the last leader; those that nobody would expect come after it.
        match claims.exception(beliefs, facts) {
            Some(leader) if leader.ground == Ground::Told => Ok(leader),
            exception => match kept(beliefs, facts, &claims) {
                Keep::Yes(leader) => Ok(*leader),
                Keep::Ask(member) => return Judgement::AskWriter(member),
                Keep::No => exception.ok_or_else(|| claims.why_nobody(beliefs, facts)),
            },
        }
    };
    let named = leader.as_ref().ok().and_then(|leader| claims.view_of(&leader.member.endpoint));
    let view = match named {
        Some(view) => Some(view),
        None => match own_view(beliefs, facts) {
            OwnView::Is(view) => view,
            OwnView::Ask(member) => return Judgement::AskMember(member),
        },
    };
    let promoting = if leader.is_err() { claims.promoting(beliefs, facts) } else { None };
    Judgement::Believe(Box::new(Belief { view, leader, promoting }))
}

enum Keep {
    Yes(Box<Leader>),
    Ask(Box<Member>),
    No,
}

/// Whether the last writer stays: nobody else is confirmed, and its PostgreSQL says that it is a primary. In a
/// maintenance pause nobody replaces it, so that libpq's own check will do where hadsn can't log in.
fn kept(beliefs: &Beliefs, facts: &Facts, claims: &Claims<'_>) -> Keep {
    let Some(Writer { member, is_confirmed }) = &beliefs.writer else { return Keep::No };
    let yes = |ground| Keep::Yes(Box::new(Leader { member: member.clone(), ground }));
    // Most know of a later leader: what this one writes now will be lost.
    let is_deposed = |claim: &Claim<'_>| claim.member.timeline > member.timeline && claim.votes * 2 > facts.views.len();
    if claims.0.iter().any(is_deposed) {
        return Keep::No;
    }
    let is_paused = claims.0.is_empty() && facts.views.iter().any(|view| view.topology.is_paused);
    match &facts.sql {
        None if facts.can_ask_sql => Keep::Ask(Box::new(member.clone())),
        None | Some(Word::Nothing(_)) if is_paused => yes(Ground::Kept),
        Some(Word::Primary { timeline, system }) => {
            let is_older = matches!((timeline, member.timeline), (Some(now), Some(then)) if *now < then);
            match is_older || beliefs.is_foreign(*system) {
                true => Keep::No,
                false if *is_confirmed => yes(Ground::Kept),
                false => yes(Ground::Confirmed { timeline: timeline.or(member.timeline), system: *system }),
            }
        }
        _ => Keep::No,
    }
}

enum OwnView {
    Is(Option<usize>),
    Ask(Box<Member>),
}

/// The view to take the members from when it is not the leader's: one of our cluster, best one that names
/// no leader, since those that do are out of date or wrong.
fn own_view(beliefs: &Beliefs, facts: &Facts) -> OwnView {
    let is_foreign =
        |view: &View| match view.leader.as_ref().ok().and_then(|(leader, _)| facts.words.get(&leader.endpoint)) {
            Some(Word::Primary { system, .. } | Word::Other { system, .. }) => beliefs.is_foreign(*system),
            _ => false,
        };
    let is_own = |view: &View| match (&beliefs.scope, &view.topology.scope) {
        (Some(known), Some(scope)) if known != scope => false,
        _ => !is_foreign(view),
    };
    let scopes = || facts.views.iter().map(|view| &view.topology.scope);
    let is_one_cluster = scopes().all(|scope| Some(scope) == scopes().next());
    let is_trusted = |view: &View| beliefs.writer.is_some() || !view.is_odd || is_one_cluster;
    let own = || facts.views.iter().enumerate().filter(|(_, view)| is_own(view) && is_trusted(view));
    let best = own().find(|(_, view)| view.leader.is_err()).or_else(|| own().next());
    if let Some((number, _)) = best {
        return OwnView::Is(Some(number));
    }
    // A standby cluster of ours has a scope of its own, and the same system identifier.
    for (number, view) in facts.views.iter().enumerate() {
        let Some(member) = view.topology.standby_leader() else { continue };
        match facts.words.get(&member.endpoint) {
            None => return OwnView::Ask(Box::new(member.clone())),
            Some(Word::Other { system: Some(system), .. }) if beliefs.system == Some(*system) => {
                return OwnView::Is(Some(number));
            }
            Some(_) => {}
        }
    }
    OwnView::Is(None)
}

#[cfg(test)]
mod tests;
