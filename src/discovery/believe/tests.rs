use super::*;
use crate::topology::Role;

/// The cluster's system identifier, and a foreign one.
const OURS: Option<u64> = Some(7001);
const FOREIGN: Option<u64> = Some(9999);

fn member(name: &str, role: Role, timeline: u32) -> Member {
    let state = if role.is_replica() { "streaming" } else { "running" };
    Member {
        name: name.into(),
        endpoint: Endpoint::parse(name, 5432).unwrap(),
        role,
        state: state.into(),
        timeline: Some(timeline),
        lag: None,
        replayed: None,
        tags: Vec::new(),
        api_url: None,
    }
}

/// What an endpoint says: `"a=5 b c"` is a leader `a` on timeline 5 that `b` and `c` follow; `"a b@4"`
/// are two replicas without a leader, `b` on timeline 4.
fn view(text: &str) -> View {
    let mut topology = Topology { scope: Some("app".into()), ..Topology::default() };
    let leaders_timeline = text.split_once('=').map_or(1, |(_, rest)| rest.split(' ').next().unwrap().parse().unwrap());
    for word in text.split_whitespace() {
        topology.members.push(match (word.split_once('='), word.split_once('@'), word.strip_suffix('~')) {
            (Some((name, timeline)), ..) => member(name, Role::Leader, timeline.parse().unwrap()),
            (_, Some((name, timeline)), _) => member(name, Role::Replica, timeline.parse().unwrap()),
            (_, _, Some(name)) => member(name, Role::StandbyLeader, 1),
            _ => member(word, Role::Replica, leaders_timeline),
        });
    }
    let leader = topology.leader().map(|leader| (leader.clone(), true)).map_err(|e| e.to_string());
    View { topology, leader, is_odd: false, is_of_servers: false }
}

fn primary(timeline: u32, system: Option<u64>) -> Word {
    Word::Primary { timeline: Some(timeline), system }
}

fn replica() -> Word {
    Word::Other { what: "it is a replica".into(), system: OURS }
}

fn dead() -> Word {
    Word::Nothing("connection refused".into())
}

/// A reader of the cluster: its endpoints, one after the other, and what each server says when it is asked.
#[derive(Default)]
struct Reader {
    beliefs: Beliefs,
    /// Whom the last look has asked.
    asked: Vec<String>,
}

impl Reader {
    /// One that has seen `a` lead on timeline 5.
    fn who_knows_a() -> Self {
        let mut reader = Self::default();
        assert_eq!(reader.looks(&["a=5 b c"], &[("a", primary(5, OURS))]), Ok("a".to_owned()));
        reader
    }

    fn looks(&mut self, views: &[&str], words: &[(&str, Word)]) -> Result<String, String> {
        self.looks_at(views.iter().map(|text| Some(view(text))).collect(), words, None)
    }

    /// `None` is an endpoint that does not answer.
    fn looks_at(
        &mut self,
        views: Vec<Option<View>>,
        words: &[(&str, Word)],
        sql: Option<Word>,
    ) -> Result<String, String> {
        let mut facts = Facts { asked: views.len(), can_ask_sql: sql.is_some(), ..Facts::default() };
        let mut views = views.into_iter();
        self.asked.clear();
        loop {
            match judge(&self.beliefs, &facts) {
                Judgement::AskOthers => match views.next() {
                    Some(Some(view)) => {
                        facts.answered += 1;
                        facts.views.push(view);
                    }
                    Some(None) => {}
                    None => {
                        assert!(!facts.is_complete, "nobody is left to ask");
                        facts.is_complete = true;
                    }
                },
                Judgement::AskMember(member) => {
                    assert!(!self.asked.contains(&member.name), "{} was asked twice", member.name);
                    self.asked.push(member.name.clone());
                    let word = words.iter().find(|(name, _)| *name == member.name).map(|(_, word)| word.clone());
                    facts.words.insert(member.endpoint.clone(), word.unwrap_or_else(dead));
                }
                Judgement::AskWriter(member) => {
                    self.asked.push(format!("SQL of {}", member.name));
                    facts.sql = sql.clone();
                }
                Judgement::Believe(belief) => {
                    self.beliefs = self.beliefs.after(&belief, &facts);
                    return belief.leader.map(|leader| leader.member.name);
                }
            }
        }
    }
}

fn is_refused(outcome: Result<String, String>, reason: &str) {
    let text = outcome.unwrap_err();
    assert!(text.contains(reason), "{text}");
}

#[test]
fn the_first_leader_is_asked_itself() {
    let reader = Reader::who_knows_a();
    assert_eq!(reader.asked, ["a"]);
    assert_eq!((reader.beliefs.highest, reader.beliefs.system), (Some(5), OURS));
    is_refused(
        Reader::default().looks(&["a=5 b c"], &[("a", replica())]),
        "\"a\" is named the leader, and by its own word",
    );
}

#[test]
fn keeping_needs_nobody() {
    let mut reader = Reader::who_knows_a();
    assert_eq!(reader.looks(&["a=5 b c", "b=9 a c"], &[]), Ok("a".into()));
    assert!(reader.asked.is_empty());
}

#[test]
fn moving_needs_the_new_leaders_own_word() {
    let mut reader = Reader::who_knows_a();
    is_refused(reader.looks(&["b=6 c"], &[("b", replica())]), "by its own word it is a replica");
    is_refused(reader.looks(&["b=6 c"], &[("b", dead())]), "can't be confirmed: connection refused");
    assert_eq!(reader.beliefs.highest, Some(5));
    assert_eq!(reader.looks(&["b=6 c"], &[("b", primary(6, OURS))]), Ok("b".into()));
    assert_eq!(reader.beliefs.highest, Some(6));
    // It has led before, and that is long ago.
    let words = [("a", primary(5, OURS)), ("b", replica())];
    is_refused(reader.looks(&["a=5 b@6 c@6"], &words), "timeline 6 was confirmed before");
}

#[test]
fn one_that_is_being_promoted_may_be_tried_by_those_who_verify_it() {
    let reader = Reader::who_knows_a();
    let promoting = |word: Word| {
        let mut facts = Facts { views: vec![view("b=6 c")], is_complete: true, ..Facts::default() };
        facts.words.insert(Endpoint::parse("b", 5432).unwrap(), word);
        let Judgement::Believe(belief) = judge(&reader.beliefs, &facts) else { panic!() };
        belief.promoting.map(|member| member.name)
    };
    assert_eq!(promoting(replica()), Some("b".into()));
    for word in
        [dead(), primary(4, OURS), primary(6, OURS), Word::Other { what: "it is a replica".into(), system: FOREIGN }]
    {
        assert_eq!(promoting(word), None);
    }
}

#[test]
fn where_no_api_was_ever_reached_the_endpoints_are_believed() {
    let mut reader = Reader::default();
    assert_eq!(reader.looks(&["a=5 b c"], &[]), Ok("a".into()));
    assert_eq!(reader.looks(&["b=6 c"], &[]), Ok("b".into()));
    assert_eq!(reader.beliefs.highest, None, "only confirmed leaders raise it");
    // Out of date: others are asked.
    assert_eq!(reader.looks(&["a=5 b", "b=6 c"], &[]), Ok("b".into()));
    let (one, other) = (view("a=7 b"), view("c=7 b"));
    let both = |one: &View, other: &View| {
        let views = vec![one.clone(), other.clone()];
        let mut facts = Facts { views, is_complete: true, ..Facts::default() };
        facts.words.extend(["a", "c"].map(|name| (Endpoint::parse(name, 5432).unwrap(), dead())));
        let Judgement::Believe(belief) = judge(&reader.beliefs, &facts) else { panic!() };
        belief.leader.map(|leader| leader.member.name)
    };
    is_refused(both(&one, &other), "both claim to be the leader on timeline 7");
    assert_eq!(both(&one, &view("c=8 b")), Ok("c".into()));
    // From the first confirmation on others have to be confirmed.
    assert_eq!(reader.looks(&["b=8 c"], &[("b", primary(8, OURS))]), Ok("b".into()));
    is_refused(reader.looks(&["c=9 b"], &[]), "can't be confirmed");
}

#[test]
fn one_that_is_out_of_date_does_not_bring_the_old_leader_back() {
    let mut reader = Reader::who_knows_a();
    let words = [("a", primary(5, OURS)), ("b", primary(6, OURS))];
    assert_eq!(reader.looks(&["b=6 a c"], &words), Ok("b".into()));
    assert_eq!(reader.looks(&["a=5 b c", "b=6 a c"], &words), Ok("b".into()));
    // Frozen, thawed, and still a primary: nobody else answers.
    let alone = vec![Some(view("a=5 b c")), None, None];
    is_refused(reader.looks_at(alone, &words, None), "is on timeline 5, while timeline 6 was confirmed before");
}

#[test]
fn a_cluster_restored_to_an_earlier_point_in_time_is_taken_when_all_agree() {
    let restored = |reader: &mut Reader, views: &[&str]| reader.looks(views, &[("b", primary(3, OURS))]);
    let mut reader = Reader::who_knows_a();
    is_refused(restored(&mut reader, &["b=3 c", "a@5 c@5"]), "HaDsn::forget() accepts it");
    is_refused(restored(&mut reader, &["b=3 c", "b=3 a@5"]), "HaDsn::forget() accepts it");
    assert_eq!(reader.beliefs.highest, Some(5));
    assert_eq!(restored(&mut reader, &["b=3 c", "b=3 c"]), Ok("b".into()));
    assert_eq!(reader.beliefs.highest, Some(3));

    let mut reader = Reader::who_knows_a();
    is_refused(restored(&mut reader, &["b=3 c", "b=3 a@5"]), "forget()");
    reader.beliefs = Beliefs::default();
    assert_eq!(restored(&mut reader, &["b=3 a@5"]), Ok("b".into()));
}

#[test]
fn of_servers_that_speak_for_themselves_the_last_leader_has_to_be_heard() {
    let mut reader = Reader::default();
    let words = |last: Option<Word>| {
        let mut words = vec![("b", primary(3, OURS)), ("c", replica())];
        words.extend(last.map(|word| ("a", word)));
        words.into_iter().map(|(name, word)| (Endpoint::parse(name, 5432).unwrap(), word)).collect::<HashMap<_, _>>()
    };
    assert_eq!(reader.looks(&["a=5 b c"], &[("a", primary(5, OURS))]), Ok("a".into()));
    let deposed = View { is_of_servers: true, ..view("b=3 c@3") };
    let look = |asked, answered, last| {
        let views = vec![deposed.clone()];
        let facts = Facts { views, words: words(last), asked, answered, is_complete: true, ..Facts::default() };
        let Judgement::Believe(belief) = judge(&reader.beliefs, &facts) else { panic!() };
        belief.leader.map(|leader| leader.member.name)
    };
    is_refused(look(3, 2, None), "timeline 5 was confirmed before");
    assert_eq!(look(3, 3, Some(replica())), Ok("b".into()));
    assert_eq!(look(4, 3, Some(replica())), Ok("b".into()));
    assert_eq!(look(2, 2, None), Ok("b".into()));
}

#[test]
fn half_of_the_endpoints_is_not_enough_to_go_back() {
    let words = [("a", primary(5, OURS)), ("b", primary(6, OURS)), ("x", primary(9, FOREIGN))];
    for (back, answered) in [("a=5 b@5", 1), ("x=9 y", 1), ("a=5 b@5", 2)] {
        let mut reader = Reader::default();
        assert_eq!(reader.looks(&["b=6 a"], &words), Ok("b".into()));
        let mut views = vec![Some(view(back)); answered];
        views.extend(vec![None; answered]);
        is_refused(reader.looks_at(views.clone(), &words, None), "HaDsn::forget() accepts it");
        views.pop();
        assert!(reader.looks_at(views, &words, None).is_ok(), "more than half");
    }
    // While the last leader says that it is a primary there is nothing to go back for.
    let mut reader = Reader::default();
    assert_eq!(reader.looks(&["b=6 a"], &words), Ok("b".into()));
    assert_eq!(reader.looks_at(vec![Some(view("a=5 b@5"))], &words, Some(primary(6, OURS))), Ok("b".into()));
}

#[test]
fn what_only_an_endpoint_says_of_the_timeline_is_not_remembered() {
    let mut reader = Reader::default();
    let mute = Word::Primary { timeline: None, system: OURS };
    assert_eq!(reader.looks(&["a=4294967295 b"], &[("a", mute)]), Ok("a".into()));
    assert_eq!(reader.beliefs.highest, None);
    assert_eq!(reader.looks(&["b=6 a"], &[("b", primary(6, OURS))]), Ok("b".into()));
}

#[test]
fn one_endpoint_does_not_take_an_unconfirmed_leader_back() {
    let mut reader = Reader::default();
    assert_eq!(reader.looks(&["b=6 c"], &[]), Ok("b".into()));
    is_refused(reader.looks(&["a=5 b", "c@6"], &[]), "none of 1 members is the leader");
    assert_eq!(reader.looks(&["a=5 b", "a=5 b"], &[]), Ok("a".into()));
}

#[test]
fn a_cluster_made_anew_is_taken_when_all_agree() {
    let mut reader = Reader::who_knows_a();
    let words = [("a", primary(1, FOREIGN)), ("b", primary(1, FOREIGN))];
    let two = vec![Some(view("a=1 b")), None, None];
    is_refused(reader.looks_at(two, &words, None), "belongs to another cluster (another system identifier)");
    assert_eq!(reader.looks(&["a=1 b", "a=1 b"], &words), Ok("a".into()));
    assert_eq!((reader.beliefs.highest, reader.beliefs.system), (Some(1), FOREIGN));
}

#[test]
fn an_endpoint_of_another_cluster_is_not_listened_to() {
    let mut foreign = view("x=9 y");
    foreign.topology.scope = Some("other".into());
    let words = [("a", primary(5, OURS)), ("b", primary(6, OURS)), ("x", primary(9, FOREIGN))];
    let mut reader = Reader::who_knows_a();
    let mixed = || vec![Some(foreign.clone()), Some(view("a=5 b c"))];
    assert_eq!(reader.looks_at(mixed(), &words, None), Ok("a".into()));
    // Not even for reading while there is no leader.
    let mut facts = Facts { views: vec![foreign.clone(), view("b c")], is_complete: true, ..Facts::default() };
    facts.words.insert(Endpoint::parse("x", 5432).unwrap(), primary(9, FOREIGN));
    let Judgement::Believe(belief) = judge(&reader.beliefs, &facts) else { panic!() };
    assert_eq!((belief.view, belief.leader.is_err()), (Some(1), true));
    facts.views.pop();
    facts.asked = 3;
    facts.answered = 1;
    let Judgement::Believe(belief) = judge(&reader.beliefs, &facts) else { panic!() };
    assert_eq!(belief.view, None);
    // Also with a name of its own that is ours.
    facts.views[0].topology.scope = Some("app".into());
    let Judgement::Believe(belief) = judge(&reader.beliefs, &facts) else { panic!() };
    assert_eq!(belief.view, None);
}

#[test]
fn of_two_clusters_in_one_list_the_one_with_more_endpoints_is_meant() {
    let words = [("a", primary(5, OURS)), ("x", primary(9, FOREIGN))];
    let odd = |text| Some(View { is_odd: true, ..view(text) });
    let mut reader = Reader::default();
    assert_eq!(reader.looks_at(vec![odd("x=9 y"), odd("a=5 b"), odd("a=5 b")], &words, None), Ok("a".into()));
    let mut reader = Reader::default();
    is_refused(reader.looks_at(vec![odd("x=9 y"), odd("a=5 b")], &words, None), "lead different clusters");
}

#[test]
fn a_made_up_timeline_is_not_believed() {
    let mut reader = Reader::who_knows_a();
    let words = [("a", primary(5, OURS)), ("b", replica())];
    assert_eq!(reader.looks(&["b=99 a c", "a=5 b c"], &words), Ok("a".into()));
    assert_eq!(reader.looks(&["a=99 b c", "a=5 b c"], &words), Ok("a".into()));
    assert_eq!(reader.beliefs.highest, Some(5));
    is_refused(reader.looks(&["b=4 a c"], &words), "by its own word it is a replica");
}

#[test]
fn the_last_leader_stays_while_its_postgresql_is_a_primary_and_nobody_else_is() {
    let mut reader = Reader::who_knows_a();
    let leaderless = || vec![Some(view("b c"))];
    assert_eq!(reader.looks_at(leaderless(), &[], Some(primary(5, OURS))), Ok("a".into()));
    assert_eq!(reader.asked, ["SQL of a"]);
    for (sql, reason) in [
        (replica(), "\"a\", which led before: it is a replica"),
        (dead(), "\"a\", which led before: connection refused"),
        (primary(4, OURS), "none of 2 members is the leader"),
        (primary(5, FOREIGN), "none of 2 members is the leader"),
    ] {
        is_refused(reader.looks_at(leaderless(), &[], Some(sql)), reason);
    }
    let promoting = vec![Some(view("b=6 c"))];
    // What the old one writes now will be lost, also if it takes it.
    for sql in [replica(), primary(5, OURS)] {
        let outcome = reader.looks_at(promoting.clone(), &[("b", replica())], Some(sql));
        is_refused(outcome, "\"b\" is named the leader, and by its own word it is a replica");
    }
    let promoted = vec![Some(view("b=6 c"))];
    assert_eq!(reader.looks_at(promoted, &[("b", primary(6, OURS))], Some(primary(5, OURS))), Ok("b".into()));
}

#[test]
fn in_a_maintenance_pause_the_last_leader_stays_for_those_who_cannot_ask_it() {
    let mut paused = view("b c");
    paused.topology.is_paused = true;
    let mut reader = Reader::who_knows_a();
    assert_eq!(reader.looks_at(vec![Some(paused.clone())], &[], None), Ok("a".into()));
    assert_eq!(reader.looks_at(vec![Some(paused.clone())], &[], Some(dead())), Ok("a".into()), "it could not be asked");
    is_refused(reader.looks_at(vec![Some(paused.clone())], &[], Some(replica())), "which led before: it is a replica");
    is_refused(Reader::default().looks_at(vec![Some(paused)], &[], None), "none of 2 members");
    is_refused(reader.looks(&["b c"], &[]), "none of 2 members");
}

#[test]
fn a_standby_cluster_is_written_to_once_it_is_promoted() {
    let standby = || {
        let mut view = view("d~");
        view.topology.scope = Some("dr".into());
        view
    };
    let mut reader = Reader::who_knows_a();
    let word = Word::Other { what: "it is a standby_leader".into(), system: OURS };
    assert_eq!(reader.looks_at(vec![Some(standby()), Some(view("a=5 b c"))], &[], None), Ok("a".into()));
    is_refused(reader.looks_at(vec![Some(standby())], &[("d", word)], None), "this is a standby cluster");
    assert_eq!(reader.asked, ["d"], "it may be read from, being of our cluster");
    let mut promoted = view("d=6");
    promoted.topology.scope = Some("dr".into());
    let words = [("d", primary(6, OURS)), ("a", primary(5, OURS))];
    assert_eq!(reader.looks_at(vec![Some(promoted.clone())], &words, None), Ok("d".into()));
    // The old site comes back, and does not know yet.
    assert_eq!(reader.looks_at(vec![Some(view("a=5 b c")), Some(promoted)], &words, None), Ok("d".into()));
}

#[test]
fn of_two_primaries_the_higher_timeline_is_written_to() {
    let words = [("a", primary(5, OURS)), ("b", primary(6, OURS)), ("c", primary(6, OURS))];
    let mut reader = Reader::who_knows_a();
    assert_eq!(reader.looks(&["b=6 a c"], &words), Ok("b".into()));
    // The same timeline twice: the one that led before.
    assert_eq!(reader.looks(&["c=6 a", "b=6 a"], &words), Ok("b".into()));
    let both = Facts { views: vec![view("c=6 a"), view("b=6 a")], is_complete: true, ..Facts::default() };
    let mut facts = both.clone();
    facts.words.extend([(Endpoint::parse("b", 5432).unwrap(), primary(6, OURS))]);
    let Judgement::Believe(belief) = judge(&reader.beliefs, &facts) else { panic!() };
    assert_eq!(belief.leader.unwrap().member.name, "b");
}

#[test]
fn a_rival_on_the_same_timeline_is_taken_only_when_nobody_speaks_for_the_last_leader() {
    let words = [("c", primary(5, OURS))];
    let rival = || vec![Some(view("c=5")), None, None];
    let mut reader = Reader::who_knows_a();
    is_refused(reader.looks_at(rival(), &words, None), "is on timeline 5, as is \"a\", which was confirmed before");
    assert_eq!(reader.looks_at(rival(), &words, Some(primary(5, OURS))), Ok("a".into()));
    assert_eq!(reader.looks(&["c=5", "a=5 b"], &words), Ok("a".into()));
    assert_eq!(reader.looks(&["c=5", "c=5"], &words), Ok("c".into()));

    // The same server at another address is none.
    let mut moved = view("a=5 b c");
    moved.topology.members[0].endpoint = Endpoint::parse("a2", 5432).unwrap();
    moved.leader = Ok((moved.topology.members[0].clone(), true));
    let mut reader = Reader::who_knows_a();
    assert_eq!(reader.looks_at(vec![Some(moved), None, None], &[("a", primary(5, OURS))], None), Ok("a".into()));
    assert_eq!(reader.beliefs.writer.unwrap().member.endpoint.to_string(), "a2:5432");
}

#[test]
fn a_leader_that_was_only_told_stays_on_the_word_of_its_postgresql() {
    let mut reader = Reader::default();
    assert_eq!(reader.looks(&["a=5 b c"], &[]), Ok("a".into()));
    assert_eq!(reader.looks_at(vec![Some(view("b c"))], &[], Some(primary(5, OURS))), Ok("a".into()));
    assert_eq!((reader.beliefs.highest, reader.beliefs.system), (Some(5), OURS));
}

#[test]
fn a_leader_out_of_reach_is_told_as_such_when_nobody_knows_another() {
    let mut forbidden = view("a=5 b");
    forbidden.leader = forbidden.leader.map(|(leader, _)| (leader, false));
    let mut reader = Reader::default();
    assert_eq!(reader.looks_at(vec![Some(forbidden.clone())], &[], None), Ok("a".into()));
    assert_eq!(reader.beliefs, Beliefs::default());
    let views = vec![Some(forbidden.clone()), Some(view("b c"))];
    is_refused(reader.looks_at(views, &[], None), "none of 2 members");
    let views = vec![Some(forbidden), Some(view("b=5 c"))];
    assert_eq!(reader.looks_at(views, &[("b", primary(5, OURS))], None), Ok("b".into()));
}
