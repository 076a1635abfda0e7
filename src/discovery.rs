//! Asks the sources in order, under one deadline, until it is clear who leads.

pub mod believe;
mod confirm;
mod distance;
mod http;
mod members;
mod patroni;
pub mod probe;
mod race;
mod servers;
pub mod srv;
mod targets;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::address::Endpoint;
use crate::config::{Config, Source, SourceKind};
use crate::error::{Error, shown};
use crate::route::{Addresses, Route};
use crate::sys::clock::Deadline;
use crate::sys::names;
use crate::topology::{Member, Role, Topology};

use believe::{Belief, Beliefs, Facts, Judgement, View, Word, judge};
use confirm::Speech;
use probe::Login;
use race::race;
use targets::Target;

pub use targets::Records;

pub use distance::measure as distances;
pub use patroni::parse as parse_patroni;

/// What one look came to.
#[derive(Debug)]
pub struct Look {
    /// The cluster, or why nothing is known of it.
    pub result: Result<Found, Error>,
    /// What is worth knowing the next time.
    pub memory: Memory,
}

/// A topology, and who told it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The cluster as it was described.
    pub topology: Topology,
    /// Who leads, or why nobody does.
    pub leader: Result<Member, String>,
    /// While nobody leads: who is about to.
    pub promoting: Option<Member>,
    /// Its system identifier, if a leader has told it.
    pub system: Option<u64>,
    /// Addresses of the hosts that are given by name.
    pub addresses: Addresses,
    /// The endpoint that answered, as it is shown: `patroni 10.0.0.1:8008`.
    pub answered_by: String,
    /// The URL of its source, without credentials.
    pub source: String,
}

/// What earlier looks have taught.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Whom to believe.
    pub beliefs: Beliefs,
    /// The endpoint that answered well the last time, and the number of its source: it is asked first.
    pub preferred: Option<(usize, Endpoint)>,
    /// The addresses of hosts that are given by name.
    pub addresses: Addresses,
    /// The SRV records of each source.
    pub records: HashMap<usize, Option<Records>>,
}

impl Memory {
    /// Forgets who led, and on which timeline.
    pub fn forget(&mut self) {
        self.beliefs = Beliefs::default();
    }

    /// Whom to ask first from now on. Who has helped out and knows no leader any more does not stand in the way of the sources
    /// before: they have all their time again.
    fn prefer(&mut self, endpoint: Option<(usize, Endpoint)>) {
        match (&self.preferred, endpoint) {
            (_, Some(endpoint)) => self.preferred = Some(endpoint),
            (Some((source, _)), None) if *source > 0 => self.preferred = None,
            (_, None) => {}
        }
    }
}

/// Asks the sources until one of them shows a leader that may be believed ([`believe`]), by `deadline`. The next
/// source is asked only when the one before gave no answer; or, if it is a Patroni too, when there is no leader: it may be that of a
/// standby cluster which was promoted.
///
/// `login` is who may ask database servers.
///
/// # Errors
///
/// In the result: [`Kind::Discovery`](crate::error::Kind::Discovery), with every endpoint and its reason.
pub fn discover(config: &Arc<Config>, memory: &Memory, login: Option<&Login>, deadline: Deadline) -> Look {
    let mut inquiry = Inquiry {
        config,
        login,
        begun: Instant::now(),
        deadline,
        memory: memory.clone(),
        facts: Facts { can_ask_sql: login.is_some(), ..Facts::default() },
        origins: Vec::new(),
        targets: HashMap::new(),
        failures: Vec::new(),
    };
    let belief = inquiry.run();
    inquiry.conclude(belief)
}

/// One look, as it goes on.
struct Inquiry<'a> {
    config: &'a Arc<Config>,
    login: Option<&'a Login>,
    begun: Instant,
    deadline: Deadline,
    memory: Memory,
    facts: Facts,
    /// Who told each of the views.
    origins: Vec<Origin>,
    /// The endpoints of each source that was asked.
    targets: HashMap<usize, (Speech, Vec<Target>)>,
    failures: Vec<Failure>,
}

struct Origin {
    source: usize,
    target: Target,
}

struct Failure {
    /// Its place among the failures: the order of the sources and their endpoints.
    place: (usize, usize),
    text: String,
}

impl Inquiry<'_> {
    fn run(&mut self) -> Option<Belief> {
        let sources = &self.config.sources;
        for (number, source) in sources.iter().enumerate() {
            if !self.has_to_ask(source) {
                continue;
            }
            let Some(remaining) = self.deadline.remaining() else {
                self.fail(number, 0, format!("source {}: no time left to ask it", number + 1));
                continue;
            };
            let share = self.share(number, remaining, sources.len());
            if let Some(belief) = self.ask(number, source, share) {
                return Some(belief);
            }
        }
        if self.facts.views.is_empty() {
            return None;
        }
        self.facts.is_complete = true;
        self.settle()
    }

    /// Whether a source is to be asked after what those before it have said.
    fn has_to_ask(&self, source: &Source) -> bool {
        let knows_no_leader =
            |view: &View| view.topology.standby_leader().is_some() || view.topology.is_paused && view.leader.is_err();
        match source.kind {
            SourceKind::Patroni { .. } => true,
            // A server that Patroni does not call the leader may be one that it is about to demote; unless it is in
            // maintenance mode, or of a standby cluster.
            SourceKind::Postgresql => self.facts.views.iter().all(knows_no_leader),
        }
    }

    /// A silent source must leave time for those behind it, and little of it if it was silent before.
    fn share(&self, number: usize, remaining: Duration, count: usize) -> Deadline {
        let behind = u32::try_from(count - number).unwrap_or(u32::MAX);
        let was_silent = self.memory.preferred.as_ref().is_some_and(|(preferred, _)| *preferred > number);
        self.deadline.or_after(if was_silent { self.config.timing.hedge } else { remaining / behind })
    }

    fn ask(&mut self, number: usize, source: &Source, deadline: Deadline) -> Option<Belief> {
        let records = self.memory.records.entry(number).or_default();
        let targets = match targets::of(source, self.config, records, deadline) {
            Ok(targets) => targets,
            Err(reason) => {
                self.fail(number, 0, reason);
                return None;
            }
        };
        self.facts.asked += targets.len();
        match source.kind {
            SourceKind::Patroni { is_tls } => {
                let speech = Speech { config: Arc::clone(self.config), tls: self.client_config(number, is_tls)? };
                self.targets.insert(number, (speech, targets.clone()));
                self.ask_endpoints(number, &targets, deadline)
            }
            SourceKind::Postgresql => self.ask_servers(number, &targets, deadline),
        }
    }

    /// What speaks TLS; `None` inside for plain HTTP.
    #[allow(clippy::option_option, reason = "the outer one is whether it can be done")]
    fn client_config(&mut self, number: usize, is_tls: bool) -> Option<Option<Arc<ClientConfig>>> {
        if !is_tls {
            return Some(None);
        }
        match self.config.patroni_tls.client_config() {
            Ok(tls) => Some(Some(tls)),
            Err(reason) => {
                self.fail(number, 0, format!("source {}: TLS: {reason}", number + 1));
                None
            }
        }
    }

    /// Asks the endpoint that answered well the last time, or the first, alone and on this thread; then, when it is slow or shows no
    /// leader that may be believed, all of them at once.
    fn ask_endpoints(&mut self, number: usize, targets: &[Target], deadline: Deadline) -> Option<Belief> {
        let speech = self.targets.get(&number)?.0.clone();
        let preferred = match &self.memory.preferred {
            Some((source, endpoint)) if *source == number => targets.iter().position(|t| t.endpoint == *endpoint),
            _ => None,
        };
        let first = preferred.unwrap_or(0);
        let is_alone = targets.len() == 1;
        let first_deadline = if is_alone { deadline } else { deadline.or_after(self.config.timing.hedge) };
        let answer = view(&speech, targets.get(first)?, first_deadline);
        let was_cut_short = matches!(&answer, Err(reason) if reason.is_timeout) && first_deadline < deadline;
        if !was_cut_short && self.take(number, targets, first, answer) {
            let belief = self.settle();
            if belief.is_some() {
                return belief;
            }
        }
        if is_alone {
            return None;
        }

        let asked: Vec<usize> = (0..targets.len()).filter(|i| *i != first || was_cut_short).collect();
        let mut silent = asked.clone();
        let racing: Vec<Target> = asked.iter().filter_map(|i| targets.get(*i).cloned()).collect();
        let answers =
            race("hadsn-ask", racing.len(), move |i| racing.get(i).map(|target| view(&speech, target, deadline)));
        // Somebody has to do better than an endpoint that knows no leader, within reason.
        let patience = self.patience();
        let mut until = if self.has_view_of(number) { deadline.or_after(patience) } else { deadline };
        while let Ok((i, answer)) = answers.recv_timeout(until.remaining().unwrap_or_default()) {
            let (Some(answer), Some(&endpoint)) = (answer, asked.get(i)) else { continue };
            silent.retain(|one| *one != endpoint);
            let had_view = self.has_view_of(number);
            if self.take(number, targets, endpoint, answer) {
                let belief = self.settle();
                if belief.is_some() {
                    return belief;
                }
                if !had_view {
                    until = until.or_after(patience);
                }
            }
        }
        for endpoint in silent {
            self.take(number, targets, endpoint, Err(Reason::timeout(self.config.timing.timeout)));
        }
        None
    }

    fn has_view_of(&self, source: usize) -> bool {
        self.origins.iter().any(|origin| origin.source == source)
    }

    /// Takes an answer in; returns whether it is one.
    fn take(&mut self, source: usize, targets: &[Target], endpoint: usize, answer: Result<Topology, Reason>) -> bool {
        let Some(target) = targets.get(endpoint) else { return false };
        match answer {
            Ok(topology) => {
                let is_odd = confirm::is_odd(&topology.members, target, targets);
                self.see(Origin { source, target: target.clone() }, topology, is_odd);
                true
            }
            Err(reason) => {
                let text = format!("patroni {}: {}", target.endpoint, reason.text);
                self.fail(source, endpoint, text);
                false
            }
        }
    }

    fn see(&mut self, origin: Origin, topology: Topology, is_odd: bool) {
        let is_of_servers = self.config.sources.get(origin.source).is_some_and(|s| s.kind == SourceKind::Postgresql);
        let leader = match topology.leader() {
            Ok(leader) => {
                // Names are not looked up yet: one that is still unknown counts as usable.
                let route = Route::to(leader, self.config, &Addresses::new());
                let is_forbidden =
                    matches!(route, Err(crate::route::NoRoute::NotAllowed(t)) if t.host.name().is_none());
                Ok((leader.clone(), !is_forbidden))
            }
            Err(reason) => Err(reason.to_string()),
        };
        self.facts.answered += 1;
        self.facts.views.push(View { topology, leader, is_odd, is_of_servers });
        self.origins.push(origin);
    }

    /// Asks database servers, all at once: each one's word is what there is to believe.
    fn ask_servers(&mut self, number: usize, targets: &[Target], deadline: Deadline) -> Option<Belief> {
        let Some(login) = self.login else {
            self.fail(
                number,
                0,
                format!(
                    "source {}: nobody to log in as: put user:password@ in front of the hosts of the first source, \
                     or hand them to HaDsn::connect()",
                    number + 1
                ),
            );
            return None;
        };
        let mut answers = servers::ask(targets, login, self.config, &self.memory.addresses, deadline);
        answers.keep_one_cluster(self.memory.beliefs.system);
        for (i, target) in targets.iter().enumerate() {
            if let Some((_, reason)) = answers.refusals.iter().find(|(endpoint, _)| *endpoint == target.endpoint) {
                self.fail(number, i, format!("postgresql {}: {reason}", target.endpoint));
            }
        }
        let speaker =
            answers.topology.members.iter().find(|m| m.role == Role::Leader).or(answers.topology.members.first());
        let target = targets.iter().find(|t| speaker.is_some_and(|speaker| speaker.endpoint == t.endpoint))?;
        let answered = answers.topology.members.len();
        self.facts.words.extend(answers.words);
        self.see(Origin { source: number, target: target.clone() }, answers.topology, false);
        self.facts.answered += answered.saturating_sub(1);
        self.settle()
    }

    /// Judges the facts, and asks those who are named in them, until there is something to believe or others have to be
    /// asked first.
    fn settle(&mut self) -> Option<Belief> {
        loop {
            match judge(&self.memory.beliefs, &self.facts) {
                Judgement::Believe(belief) => return Some(*belief),
                Judgement::AskOthers => return None,
                Judgement::AskMember(member) => {
                    let word = self.word_of(&member);
                    self.facts.words.insert(member.endpoint.clone(), word);
                }
                Judgement::AskWriter(member) => {
                    // It is one of many things to try: whoever is frozen must not hold up the next look.
                    let soon = self.deadline.or_after(self.patience());
                    let word = self.sql_word_of(&member, soon);
                    self.facts.sql = Some(word.unwrap_or_else(|| Word::Nothing("nobody to log in as".to_owned())));
                }
            }
        }
    }

    /// How long others may take when there is an answer already, and not a good one.
    fn patience(&self) -> Duration {
        self.config.timing.hedge.max(self.config.timing.timeout / 8)
    }

    /// What a member says of itself: by its API, or else by SQL.
    fn word_of(&self, member: &Member) -> Word {
        let names_it = |view: &View| {
            matches!(&view.leader, Ok((leader, _)) if leader.endpoint == member.endpoint)
                || view.topology.standby_leader().is_some_and(|leader| leader.endpoint == member.endpoint)
        };
        let view = self.facts.views.iter().position(names_it);
        let origin = view.and_then(|view| self.origins.get(view));
        let scope = view.and_then(|view| self.facts.views.get(view)).and_then(|view| view.topology.scope.as_deref());
        // Once a leader was confirmed the next has to be, by whatever way. Where no API could ever be asked there is little hope
        // for this one: it may take somewhat longer than the answers so far.
        let is_strict = self.memory.beliefs.is_confirmed();
        let patience = self.config.timing.hedge.max(self.begun.elapsed() * 2).min(self.config.timing.timeout / 4);
        // Something is left for another source if it is silent.
        let most = self.deadline.remaining().unwrap_or_default() / 2;
        let deadline = self.deadline.or_after(if is_strict { most } else { patience });
        let word = match origin.and_then(|origin| self.targets.get(&origin.source)) {
            // The name of a certificate may be that of an endpoint.
            Some((speech, targets)) => {
                confirm::ask(member, scope, targets, is_strict || speech.tls.is_some(), speech, deadline)
            }
            None => Word::Nothing("it has no API".to_owned()),
        };
        let Word::Nothing(reason) = word else { return word };
        let is_first = self.memory.beliefs.writer.is_none();
        let by_sql = if is_first { None } else { self.sql_word_of(member, deadline) };
        match by_sql {
            Some(Word::Nothing(second)) => Word::Nothing(format!("{reason}; {second}")),
            Some(word) => word,
            None => Word::Nothing(reason),
        }
    }

    fn sql_word_of(&self, member: &Member, deadline: Deadline) -> Option<Word> {
        let login = self.login?;
        Some(servers::ask_member(member, login, self.config, &self.memory.addresses, deadline))
    }

    fn fail(&mut self, source: usize, endpoint: usize, text: String) {
        self.failures.push(Failure { place: (source, endpoint), text });
    }

    fn conclude(mut self, belief: Option<Belief>) -> Look {
        self.failures.sort_by_key(|failure| failure.place);
        let Some(belief) = belief else {
            return self.nothing();
        };
        let Some((view, origin)) = belief.view.and_then(|n| Some((self.facts.views.get(n)?, self.origins.get(n)?)))
        else {
            for (view, origin) in self.facts.views.iter().zip(&self.origins) {
                let scope = view.topology.scope.as_deref().map_or_else(|| "unknown".to_owned(), shown);
                let text = format!("{}: it may be of another cluster, scope {scope}", self.name(origin));
                self.failures.push(Failure { place: (origin.source, 0), text });
            }
            if let Err(reason) = belief.leader {
                self.failures.insert(0, Failure { place: (0, 0), text: reason });
            }
            return self.nothing();
        };
        let source = self.config.sources.get(origin.source).map(|source| source.display.clone()).unwrap_or_default();
        let answered_by = self.name(origin);
        let mut topology = view.topology.clone();
        let leader = belief.leader.as_ref().map(|leader| leader.member.clone()).map_err(|reason| {
            if self.failures.is_empty() { reason.clone() } else { format!("{reason}; {}", told(&self.failures)) }
        });
        if let Ok(leader) = &leader {
            match topology.members.iter_mut().find(|member| member.endpoint == leader.endpoint) {
                Some(member) => {
                    member.timeline = leader.timeline;
                    member.role = Role::Leader;
                }
                // Patroni was stopped there, and has dropped it.
                None => topology.members.push(Member { role: Role::Leader, ..leader.clone() }),
            }
        }
        let given = self.given_addresses();
        let known = (&given, &self.memory.addresses);
        let next = leader.as_ref().ok().or(belief.promoting.as_ref());
        let addresses = members::look_up(&topology, next, self.config, known, self.patience(), self.deadline);

        let preferred = leader.is_ok().then(|| (origin.source, origin.target.endpoint.clone()));
        let mut memory = self.memory;
        memory.beliefs = memory.beliefs.after(&belief, &self.facts);
        memory.prefer(preferred);
        memory.addresses.clone_from(&addresses);
        let system = memory.beliefs.system;
        let found = Found { topology, leader, promoting: belief.promoting, system, addresses, answered_by, source };
        Look { result: Ok(found), memory }
    }

    fn nothing(mut self) -> Look {
        self.memory.prefer(None);
        Look { result: Err(Error::no_answer(told(&self.failures))), memory: self.memory }
    }

    /// The addresses that SRV records have brought along.
    fn given_addresses(&self) -> Addresses {
        let targets = self.memory.records.values().flatten().flat_map(Records::targets);
        let address = |target: &Target| Some((target.endpoint.host.name()?.to_owned(), *target.addresses.first()?));
        targets.filter_map(address).collect()
    }

    /// An endpoint as it is shown: `patroni 10.0.0.1:8008`.
    fn name(&self, origin: &Origin) -> String {
        let kind = match self.config.sources.get(origin.source).map(|source| source.kind) {
            Some(SourceKind::Postgresql) => "postgresql",
            _ => "patroni",
        };
        format!("{kind} {}", origin.target.endpoint)
    }
}

/// What went wrong, as far as a message can hold it.
fn told(failures: &[Failure]) -> String {
    let mut text =
        failures.iter().take(TOLD_FAILURES).map(|failure| failure.text.as_str()).collect::<Vec<_>>().join("; ");
    let rest = failures.len().saturating_sub(TOLD_FAILURES);
    if rest > 0 {
        let _ = write!(text, "; and {rest} more");
    }
    text
}

fn view(speech: &Speech, target: &Target, deadline: Deadline) -> Result<Topology, Reason> {
    let response = speech.get(target, "/cluster", deadline)?;
    patroni::parse_answer(response.status, &response.body).map_err(Reason::other)
}

/// Why an endpoint gave no topology.
#[derive(Debug)]
struct Reason {
    text: String,
    is_timeout: bool,
}

impl Reason {
    fn timeout(limit: Duration) -> Self {
        Self { text: format!("no answer within {}", humane(limit)), is_timeout: true }
    }

    fn of_name(failure: names::Failure) -> Self {
        Self { text: failure.text, is_timeout: failure.is_late }
    }

    fn other(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_timeout: false }
    }
}

/// `2s`, `250ms`: as it would be written in the configuration.
fn humane(span: Duration) -> String {
    let millis = span.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// How many endpoints a message names with what went wrong there.
const TOLD_FAILURES: usize = 16;
