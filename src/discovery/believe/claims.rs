//! Who is named the leader, and what each claim is worth. Pure.

use std::fmt::Write as _;

use super::{Beliefs, Facts, Ground, Leader, Word, Writer};
use crate::address::Endpoint;
use crate::error::shown;
use crate::topology::Member;

/// The members that views name as leaders, each once.
pub(super) struct Claims<'a>(pub(super) Vec<Claim<'a>>);

pub(super) struct Claim<'a> {
    pub(super) member: &'a Member,
    /// The first view that names it.
    view: usize,
    /// How many do.
    pub(super) votes: usize,
    standing: Standing,
}

/// What a claim is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Kept,
    Confirmed {
        timeline: Option<u32>,
        system: Option<u64>,
    },
    Unasked,
    Told,
    OutOfReach,
    Lower {
        timeline: Option<u32>,
        system: Option<u64>,
    },
    Foreign {
        timeline: Option<u32>,
        system: Option<u64>,
    },
    /// Confirmed, and on the very timeline of the last leader, which is another server: a promotion would have begun a new one.
    Rival {
        timeline: Option<u32>,
        system: Option<u64>,
    },
    Denied(String),
}

impl<'a> Claims<'a> {
    pub(super) fn of(beliefs: &Beliefs, facts: &'a Facts) -> Self {
        let mut claims: Vec<Claim<'a>> = Vec::new();
        for (number, view) in facts.views.iter().enumerate() {
            let Ok((member, is_in_reach)) = &view.leader else { continue };
            match claims.iter_mut().find(|claim| claim.member.endpoint == member.endpoint) {
                Some(claim) => {
                    claim.votes += 1;
                    // One that tells more of the timeline is the newer one.
                    if member.timeline > claim.member.timeline {
                        (claim.member, claim.view) = (member, number);
                        claim.standing = standing(member, *is_in_reach, beliefs, facts);
                    }
                }
                None => claims.push(Claim {
                    member,
                    view: number,
                    votes: 1,
                    standing: standing(member, *is_in_reach, beliefs, facts),
                }),
            }
        }
        Self(claims)
    }

    pub(super) fn accepted(&self) -> impl Iterator<Item = &Claim<'a>> {
        self.0.iter().filter(|claim| matches!(claim.standing, Standing::Kept | Standing::Confirmed { .. }))
    }

    /// A claim that could change the outcome, and whose server was not asked yet.
    pub(super) fn to_be_asked(&self, is_dubious: bool) -> Option<&Claim<'a>> {
        let best = self.accepted().map(Claim::timeline).max();
        let matters = |claim: &&Claim<'a>| is_dubious || best.is_none_or(|best| claim.timeline() > best);
        self.0.iter().filter(|claim| claim.standing == Standing::Unasked).find(matters)
    }

    /// Whether the only leader that is named can be taken without asking others: no server of this cluster could ever be asked itself,
    /// and it is not on a lower timeline than the one before.
    pub(super) fn is_plausible(&self, beliefs: &Beliefs) -> bool {
        let [Claim { standing: Standing::Told, member, .. }] = self.0.as_slice() else { return false };
        let known = beliefs.writer.as_ref().and_then(|writer| writer.member.timeline);
        !matches!((member.timeline, known), (Some(now), Some(before)) if now < before)
    }

    /// Of those that are accepted the one on the highest timeline: the others were deposed.
    pub(super) fn best(&self, is_dubious: bool) -> Result<Leader, String> {
        if is_dubious && let Some((one, other)) = self.two_clusters() {
            let most = self.accepted().max_by_key(|claim| claim.votes);
            let is_alone = |most: &Claim<'a>| self.accepted().filter(|claim| claim.votes == most.votes).count() == 1;
            return match most {
                Some(most) if is_alone(most) => Ok(most.leader()),
                _ => Err(format!(
                    "{} and {} lead different clusters: list the endpoints of one cluster only",
                    one.name(),
                    other.name()
                )),
            };
        }
        self.highest(self.accepted())
    }

    fn highest<'b>(&'b self, claims: impl Iterator<Item = &'b Claim<'a>>) -> Result<Leader, String>
    where
        'a: 'b,
    {
        let claims: Vec<_> = claims.collect();
        let highest = claims.iter().map(|claim| claim.timeline()).max().flatten();
        let mut top = claims.iter().filter(|claim| claim.timeline() == highest);
        match (top.next(), top.next()) {
            (Some(only), None) => Ok(only.leader()),
            (Some(one), Some(other)) => match claims
                .iter()
                .find(|c| c.standing == Standing::Kept && c.timeline() == highest)
            {
                Some(kept) => Ok(kept.leader()),
                None => {
                    Err(format!("{} and {} both claim to be the leader on {}", one.name(), other.name(), on(highest)))
                }
            },
            (None, _) => Err("nobody is named the leader".to_owned()),
        }
    }

    /// Two accepted leaders with different system identifiers.
    fn two_clusters(&self) -> Option<(&Claim<'a>, &Claim<'a>)> {
        let first = self.accepted().next()?;
        let system = |claim: &Claim<'a>| match claim.standing {
            Standing::Confirmed { system, .. } => system,
            _ => None,
        };
        let other = self.accepted().find(|claim| system(claim).is_some() && system(claim) != system(first))?;
        Some((first, other))
    }

    /// Who leads although it is not accepted at first sight: everybody has been asked.
    pub(super) fn exception(&self, beliefs: &Beliefs, facts: &Facts) -> Option<Leader> {
        let known = beliefs.writer.as_ref().and_then(|writer| writer.member.timeline);
        let is_back = |claim: &Claim<'a>| matches!((claim.timeline(), known), (Some(now), Some(then)) if now < then);
        let told = || {
            let is_told = |claim: &&Claim<'a>| claim.standing == Standing::Told;
            self.0.iter().filter(is_told).filter(|claim| !is_back(claim) || claim.votes == facts.views.len())
        };
        if told().next().is_some() {
            return self.highest(told()).ok();
        }
        if let [claim] = self.0.as_slice() {
            // Restored to an earlier point in time, or made anew: then all agree, and nobody is left on the old timeline.
            let all_agree = claim.votes == facts.views.len() && claim.is_heard_enough(beliefs, facts);
            let serves_higher = |member: &Member| member.timeline.is_some() && !beliefs.is_lower(member.timeline);
            let is_abandoned = !facts.views.iter().flat_map(|view| &view.topology.members).any(serves_higher);
            let is_let_through = match claim.standing {
                Standing::Lower { .. } => all_agree && is_abandoned,
                Standing::Foreign { .. } | Standing::Rival { .. } => all_agree,
                _ => false,
            };
            let is_out_of_reach = claim.standing == Standing::OutOfReach && claim.votes == facts.views.len();
            if is_let_through || is_out_of_reach {
                return Some(claim.leader());
            }
        }
        None
    }

    /// Who has the lock, is of our cluster, and says that it is something else than a primary.
    pub(super) fn promoting(&self, beliefs: &Beliefs, facts: &Facts) -> Option<Member> {
        let is_promoting = |claim: &&Claim<'a>| match facts.words.get(&claim.member.endpoint) {
            Some(Word::Other { system, .. }) => !beliefs.is_foreign(*system) && !beliefs.is_lower(claim.timeline()),
            _ => false,
        };
        self.0.iter().filter(is_promoting).max_by_key(|claim| claim.timeline()).map(|claim| claim.member.clone())
    }

    pub(super) fn view_of(&self, endpoint: &Endpoint) -> Option<usize> {
        self.0.iter().find(|claim| claim.member.endpoint == *endpoint).map(|claim| claim.view)
    }

    pub(super) fn why_nobody(&self, beliefs: &Beliefs, facts: &Facts) -> String {
        let mut reasons: Vec<String> = self.0.iter().filter_map(|claim| claim.why_not(beliefs)).collect();
        if reasons.is_empty() {
            let told = || self.0.iter().filter(|claim| claim.standing == Standing::Told);
            reasons.extend(self.highest(told()).err().filter(|_| told().next().is_some()));
        }
        if reasons.is_empty() {
            reasons.extend(facts.views.iter().find_map(|view| view.leader.as_ref().err()).cloned());
        }
        if let (Some(Writer { member, .. }), Some(Word::Other { what, .. } | Word::Nothing(what))) =
            (&beliefs.writer, &facts.sql)
        {
            reasons.push(format!("{}, which led before: {what}", shown(&member.name)));
        }
        reasons.join("; ")
    }
}

impl Claim<'_> {
    /// The timeline that it is known, or claims, to be on.
    fn timeline(&self) -> Option<u32> {
        match &self.standing {
            Standing::Confirmed { timeline, .. }
            | Standing::Lower { timeline, .. }
            | Standing::Foreign { timeline, .. }
            | Standing::Rival { timeline, .. } => *timeline,
            _ => self.member.timeline,
        }
    }

    fn leader(&self) -> Leader {
        let ground = match self.standing {
            Standing::Kept => Ground::Kept,
            Standing::Confirmed { timeline, system }
            | Standing::Lower { timeline, system }
            | Standing::Foreign { timeline, system }
            | Standing::Rival { timeline, system } => Ground::Confirmed { timeline, system },
            Standing::OutOfReach => Ground::OutOfReach,
            Standing::Unasked | Standing::Told | Standing::Denied(_) => Ground::Told,
        };
        let mut member = self.member.clone();
        member.timeline = self.timeline();
        Leader { member, ground }
    }

    /// Whether enough have answered to call it agreement: more than half of the endpoints; of servers, each of which speaks for itself, the last
    /// leader, or all.
    fn is_heard_enough(&self, beliefs: &Beliefs, facts: &Facts) -> bool {
        if !facts.views.get(self.view).is_some_and(|view| view.is_of_servers) {
            return facts.answered * 2 > facts.asked;
        }
        let last = beliefs.writer.as_ref().map(|writer| &writer.member.endpoint);
        facts.answered == facts.asked || last.is_some_and(|last| facts.words.contains_key(last))
    }

    fn name(&self) -> String {
        shown(&self.member.name)
    }

    fn why_not(&self, beliefs: &Beliefs) -> Option<String> {
        let mut text = format!("{} is named the leader, and ", self.name());
        match &self.standing {
            Standing::Denied(reason) => text.push_str(reason),
            Standing::Lower { timeline, .. } => {
                let _ = write!(
                    text,
                    "is on {}, while {} was confirmed before: HaDsn::forget() accepts it, if that is how it should be",
                    on(*timeline),
                    on(beliefs.highest)
                );
            }
            Standing::Foreign { .. } => text.push_str(
                "belongs to another cluster (another system identifier): HaDsn::forget() accepts it, if the cluster was made anew",
            ),
            Standing::Rival { timeline, .. } => {
                let known = beliefs.writer.as_ref().map_or_else(String::new, |writer| shown(&writer.member.name));
                let _ = write!(
                    text,
                    "is on {}, as is {known}, which was confirmed before: HaDsn::forget() accepts it, if that is how it should be",
                    on(*timeline)
                );
            }
            _ => return None,
        }
        Some(text)
    }
}

fn standing(member: &Member, is_in_reach: bool, beliefs: &Beliefs, facts: &Facts) -> Standing {
    let is_kept = beliefs.is_writer(member);
    match facts.words.get(&member.endpoint) {
        Some(Word::Other { what, .. }) => Standing::Denied(format!("by its own word {what}")),
        Some(Word::Primary { timeline, system }) => {
            let (timeline, system) = (timeline.or(member.timeline), *system);
            if beliefs.is_foreign(system) {
                Standing::Foreign { timeline, system }
            } else if beliefs.is_lower(timeline) {
                Standing::Lower { timeline, system }
            } else if beliefs.is_rival(member, timeline) {
                Standing::Rival { timeline, system }
            } else {
                Standing::Confirmed { timeline, system }
            }
        }
        _ if is_kept => Standing::Kept,
        None if is_in_reach => Standing::Unasked,
        None => Standing::OutOfReach,
        Some(Word::Nothing(reason)) if beliefs.is_confirmed() => {
            Standing::Denied(format!("can't be confirmed: {reason}"))
        }
        Some(Word::Nothing(_)) => Standing::Told,
    }
}

fn on(timeline: Option<u32>) -> String {
    timeline.map_or_else(|| "an unknown timeline".to_owned(), |timeline| format!("timeline {timeline}"))
}
