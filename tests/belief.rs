//! Random histories of clusters, seen by readers whose endpoints lag, lie and fall silent.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use hadsn::address::Endpoint;
use hadsn::discovery::believe::{Belief, Beliefs, Facts, Judgement, View, Word, Writer, judge};
use hadsn::topology::{Member, Role, Topology};
use proptest::prelude::*;

const NODES: usize = 3;
const SYSTEM: u64 = 7001;

/// What happens to the cluster between two looks.
#[derive(Debug, Clone)]
enum Event {
    /// The lock is free.
    LeaderGone,
    /// A node is promoted, on a new timeline; the old leader may not know (frozen, cut off).
    Promoted(usize, bool),
    /// The cluster was restored to an earlier timeline, on this node.
    Restored(usize),
    Nothing,
}

/// How an endpoint answers.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// What is.
    True,
    /// What was so many events ago.
    Late(usize),
    /// That this node leads, on a timeline so much higher or lower.
    Lie(usize, i64),
    Silent,
}

#[derive(Debug, Clone)]
struct Step {
    event: Event,
    manners: [Manner; NODES],
    /// Which nodes can be asked themselves.
    in_reach: [bool; NODES],
}

/// What is really so.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Truth {
    leader: Option<usize>,
    timeline: u32,
    /// The timelines on which deposed leaders still run as primaries.
    undead: [Option<u32>; NODES],
}

impl Truth {
    fn after(self, event: &Event) -> Self {
        match event {
            Event::LeaderGone => Self { leader: None, ..self },
            Event::Promoted(node, old_runs_on) => {
                let mut undead = self.undead;
                if let Some(old) = self.leader {
                    undead[old] = old_runs_on.then_some(self.timeline);
                }
                undead[*node] = None;
                Self { leader: Some(*node), timeline: self.timeline + 1, undead }
            }
            Event::Restored(node) => {
                Self { leader: Some(*node), timeline: self.timeline.saturating_sub(2).max(1), undead: [None; NODES] }
            }
            Event::Nothing => self,
        }
    }

    fn view(self) -> View {
        let mut topology = Topology { scope: Some("app".into()), ..Topology::default() };
        for node in 0..NODES {
            let (role, state) = match self.leader == Some(node) {
                true => (Role::Leader, "running"),
                false => (Role::Replica, "streaming"),
            };
            topology.members.push(Member {
                name: format!("pg{node}"),
                endpoint: endpoint(node),
                role,
                state: state.into(),
                timeline: Some(self.timeline),
                lag: None,
                replayed: None,
                tags: Vec::new(),
                api_url: None,
            });
        }
        let leader = topology.leader().map(|leader| (leader.clone(), true)).map_err(|e| e.to_string());
        View { topology, leader, is_odd: false, is_of_servers: false }
    }

    fn word(self, node: usize) -> Word {
        let timeline = if self.leader == Some(node) { Some(self.timeline) } else { self.undead[node] };
        match timeline {
            Some(_) => Word::Primary { timeline, system: Some(SYSTEM) },
            None => Word::Other { what: "it is a replica".into(), system: Some(SYSTEM) },
        }
    }
}

fn endpoint(node: usize) -> Endpoint {
    Endpoint::parse(&format!("10.0.0.{}", node + 1), 5432).unwrap()
}

/// What the endpoints say in this step.
fn views(step: &Step, history: &[Truth]) -> Vec<Option<View>> {
    let now = *history.last().unwrap();
    let said = |manner: &Manner| match *manner {
        Manner::True => Some(now.view()),
        Manner::Late(by) => Some(history[history.len().saturating_sub(1 + by)].view()),
        Manner::Lie(node, by) => {
            let timeline = u32::try_from(i64::from(now.timeline) + by).unwrap_or(1).max(1);
            Some(Truth { leader: Some(node), timeline, ..now }.view())
        }
        Manner::Silent => None,
    };
    step.manners.iter().map(said).collect()
}

/// One look: the endpoints are asked in `order` until there is something to believe.
fn look(beliefs: &Beliefs, views: &[Option<View>], order: &[usize], step: &Step, now: Truth) -> (Belief, Facts) {
    let mut facts = Facts { asked: views.len(), ..Facts::default() };
    let mut rest = order.iter();
    for _ in 0..100 {
        match judge(beliefs, &facts) {
            Judgement::Believe(belief) => return (*belief, facts),
            Judgement::AskOthers => match rest.next() {
                Some(endpoint) => {
                    if let Some(view) = &views[*endpoint] {
                        facts.answered += 1;
                        facts.views.push(view.clone());
                    }
                }
                None => {
                    assert!(!facts.is_complete, "there is nobody left to ask");
                    facts.is_complete = true;
                }
            },
            Judgement::AskMember(member) => {
                let node = (0..NODES).find(|node| endpoint(*node) == member.endpoint).unwrap();
                let word = match step.in_reach[node] {
                    true => now.word(node),
                    false => Word::Nothing("no answer".into()),
                };
                let before = facts.words.insert(member.endpoint.clone(), word);
                assert!(before.is_none(), "{} was asked twice", member.name);
            }
            Judgement::AskWriter(_) => panic!("nobody can log in"),
        }
    }
    panic!("it never comes to an end");
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        6 => Just(Manner::True),
        2 => (1_usize..4).prop_map(Manner::Late),
        1 => (0..NODES, -3_i64..50).prop_map(|(node, by)| Manner::Lie(node, by)),
        2 => Just(Manner::Silent),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        1 => Just(Event::LeaderGone),
        3 => (0..NODES, any::<bool>()).prop_map(|(node, old_runs_on)| Event::Promoted(node, old_runs_on)),
        1 => (0..NODES).prop_map(Event::Restored),
        3 => Just(Event::Nothing),
    ];
    let in_reach = prop::array::uniform3(prop::bool::weighted(0.85));
    (event, prop::array::uniform3(manner()), in_reach).prop_map(|(event, manners, in_reach)| Step {
        event,
        manners,
        in_reach,
    })
}

/// Goes through a history, and gives each look to `check`: what was believed before, the look, and the truth.
fn go_through(steps: &[Step], mut check: impl FnMut(&Beliefs, &Belief, &Facts, Truth, &Step, &[Truth])) {
    // The reader has seen the first leader.
    let first = Truth { leader: Some(0), timeline: 1, undead: [None; NODES] };
    let quiet = Step { event: Event::Nothing, manners: [Manner::True; NODES], in_reach: [true; NODES] };
    let mut history = vec![first];
    let (belief, facts) = look(&Beliefs::default(), &views(&quiet, &history), &[0, 1, 2], &quiet, first);
    let mut beliefs = Beliefs::default().after(&belief, &facts);
    for step in steps {
        let now = history.last().unwrap().after(&step.event);
        history.push(now);
        let (belief, facts) = look(&beliefs, &views(step, &history), &[0, 1, 2], step, now);
        check(&beliefs, &belief, &facts, now, step, &history);
        beliefs = beliefs.after(&belief, &facts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_writer_moves_only_to_a_primary_that_an_endpoint_names(steps in prop::collection::vec(step(), 1..30)) {
        go_through(&steps, |before, belief, facts, now, step, _| {
            let Ok(leader) = &belief.leader else { return };
            let node = (0..NODES).find(|node| endpoint(*node) == leader.member.endpoint).unwrap();
            let stays = before.writer.as_ref().is_some_and(|writer| writer.member.endpoint == leader.member.endpoint);
            let names_it =
                |view: &View| view.leader.as_ref().is_ok_and(|(named, _)| named.endpoint == leader.member.endpoint);
            assert!(facts.views.iter().any(names_it));
            let is_primary = step.in_reach[node] && matches!(now.word(node), Word::Primary { .. });
            assert!(stays || is_primary, "moved to {}, which is no primary", leader.member.name);
        });
    }

    #[test]
    fn the_timeline_goes_back_only_when_all_agree(steps in prop::collection::vec(step(), 1..30)) {
        let mut highest = 1;
        go_through(&steps, |_, belief, facts, _, _, _| {
            let Ok(leader) = &belief.leader else { return };
            let timeline = leader.member.timeline.unwrap();
            if timeline < highest {
                let names_it = |view: &View| {
                    view.leader.as_ref().is_ok_and(|(claimed, _)| claimed.endpoint == leader.member.endpoint)
                };
                assert!(facts.is_complete && facts.views.iter().all(names_it) && facts.views.len() * 2 > NODES);
            }
            highest = timeline;
        });
    }

    #[test]
    fn there_is_a_writer_as_soon_as_the_facts_allow_it(steps in prop::collection::vec(step(), 1..30)) {
        go_through(&steps, |_, belief, _, now, step, _| {
            let all_answer_truly = step.manners.iter().all(|manner| matches!(manner, Manner::True));
            if let Some(node) = now.leader && all_answer_truly && step.in_reach[node] {
                assert_eq!(belief.leader.as_ref().map(|leader| &leader.member.endpoint), Ok(&endpoint(node)));
            }
        });
    }

    #[test]
    fn one_true_endpoint_is_enough_among_the_silent(steps in prop::collection::vec(step(), 1..30)) {
        go_through(&steps, |before, belief, _, now, step, _| {
            let is_honest = step.manners.iter().all(|manner| matches!(manner, Manner::True | Manner::Silent));
            let answers = step.manners.iter().any(|manner| matches!(manner, Manner::True));
            // Who is not on a new timeline was restored, or is a rival: then more have to agree.
            let is_known = |node| {
                let is_same = |writer: &Writer| {
                    writer.member.endpoint == endpoint(node) && writer.member.timeline == Some(now.timeline)
                };
                before.writer.as_ref().is_some_and(is_same)
            };
            let is_new = before.highest.is_none_or(|highest| now.timeline > highest);
            if let Some(node) = now.leader
                && is_honest
                && answers
                && step.in_reach[node]
                && (is_new || is_known(node)) {
                assert_eq!(belief.leader.as_ref().map(|leader| &leader.member.endpoint), Ok(&endpoint(node)));
            }
        });
    }

    #[test]
    fn the_same_facts_make_one_writer_in_whatever_order_they_come(
        steps in prop::collection::vec(step(), 1..20),
        order in Just(vec![0, 1, 2]).prop_shuffle(),
    ) {
        go_through(&steps, |before, _, _, now, step, history| {
            // All endpoints have been heard, and all members been asked.
            let mut facts = Facts { asked: NODES, is_complete: true, ..Facts::default() };
            let views = views(step, history);
            for node in 0..NODES {
                let word = if step.in_reach[node] { now.word(node) } else { Word::Nothing("no answer".into()) };
                facts.words.insert(endpoint(node), word);
            }
            let writer = |order: &[usize]| {
                let mut facts = facts.clone();
                facts.views = order.iter().filter_map(|endpoint| views[*endpoint].clone()).collect();
                facts.answered = facts.views.len();
                match judge(before, &facts) {
                    Judgement::Believe(belief) => belief.leader.map(|leader| leader.member.endpoint).ok(),
                    other => panic!("{other:?} although everything is known"),
                }
            };
            assert_eq!(writer(&[0, 1, 2]), writer(&order));
        });
    }
}
