//! Asks the sources in order, under one deadline, and looks up the names in the answer.

mod patroni;
pub mod probe;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::address::{Endpoint, Host};
use crate::config::{Config, Source, SourceKind};
use crate::error::Error;
use crate::route::{self, Addresses, NoRoute, Route};
use crate::sys::clock::Deadline;
use crate::sys::{names, thread};
use crate::topology::Topology;

pub use patroni::parse as parse_patroni;

/// A topology, and who told it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The cluster as it was described.
    pub topology: Topology,
    /// Addresses of the hosts that are given by name.
    pub addresses: Addresses,
    /// The endpoint that answered, as it is shown: `patroni 10.0.0.1:8008`.
    pub answered_by: String,
    /// The URL of its source, without credentials.
    pub source: String,
    /// Whom to ask first the next time.
    pub preferred: Preferred,
}

impl Found {
    /// What is worth knowing the next time. While there is no leader, the timeline of the last one.
    pub fn remember(&self, before: &Memory) -> Memory {
        let leader = self.topology.leader().ok();
        Memory {
            preferred: self.preferred,
            addresses: self.addresses.clone(),
            timeline: leader.map_or(before.timeline, |leader| leader.timeline),
        }
    }
}

/// The endpoint that answered well the last time: numbers of its source and of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preferred {
    source: usize,
    endpoint: usize,
}

/// What the last answer taught.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Whom to ask first.
    pub preferred: Preferred,
    /// The addresses of hosts that are given by name.
    pub addresses: Addresses,
    /// The timeline of the leader.
    pub timeline: Option<u32>,
}

/// Asks the sources, until one gives an answer. An answer without a leader that may be connected to, or whose
/// leader is on a lower timeline than the one known before, is taken only when no other endpoint of
/// the source has a better one.
///
/// Ends by `deadline`.
///
/// # Errors
///
/// [`Kind::Discovery`](crate::error::Kind::Discovery), with every endpoint and its reason.
pub fn discover(config: &Arc<Config>, memory: &Memory, deadline: Deadline) -> Result<Found, Error> {
    let mut failures = Vec::new();
    for (number, source) in config.sources.iter().enumerate() {
        let Some(remaining) = deadline.remaining() else {
            failures.push(format!("source {}: no time left to ask it", number + 1));
            continue;
        };
        // A silent source must leave time for those behind it.
        let sources_left = u32::try_from(config.sources.len() - number).unwrap_or(u32::MAX);
        let share = deadline.or_after(remaining / sources_left);
        let first = if memory.preferred.source == number { memory.preferred.endpoint } else { 0 };
        match ask(source, first, config, memory, share) {
            Ok((endpoint, topology)) => {
                let addresses = look_up_members(&topology, config, &memory.addresses, deadline);
                let answered_by = name(source, endpoint);
                return Ok(Found {
                    topology,
                    addresses,
                    answered_by,
                    source: source.display.clone(),
                    preferred: Preferred { source: number, endpoint },
                });
            }
            Err(reasons) => failures.extend(reasons),
        }
    }
    Err(Error::no_answer(failures.join("; ")))
}

/// Asks the endpoints of one source: the first alone and on this thread, then, when it is slow or
/// has no good answer, all of them at once.
fn ask(
    source: &Source,
    first: usize,
    config: &Arc<Config>,
    memory: &Memory,
    deadline: Deadline,
) -> Result<(usize, Topology), Vec<String>> {
    let first = if first < source.endpoints.len() { first } else { 0 };
    let is_alone = source.endpoints.len() == 1;
    let first_deadline = if is_alone { deadline } else { deadline.or_after(config.timing.hedge) };

    let mut round = Round::new(source, config, memory.timeline);
    let answer = fetch(source.kind, &source.endpoints[first], config, first_deadline);
    let was_cut_short = matches!(&answer, Err(reason) if reason.is_timeout) && first_deadline < deadline;
    if !was_cut_short && let Some(good) = round.take(first, answer) {
        return Ok(good);
    }
    if !is_alone {
        let asked: Vec<usize> = (0..source.endpoints.len()).filter(|i| *i != first || was_cut_short).collect();
        if let Some(good) = round.race(&asked, deadline) {
            return Ok(good);
        }
    }
    round.end()
}

/// What the endpoints of one source have said so far.
struct Round<'a> {
    source: &'a Source,
    config: &'a Arc<Config>,
    /// The timeline of the leader that was known before.
    timeline: Option<u32>,
    /// The best answer that may be wrong, and how good it is.
    weak: Option<(Worth, usize, Topology)>,
    failures: Vec<Failure>,
}

struct Failure {
    endpoint: usize,
    text: String,
}

impl<'a> Round<'a> {
    fn new(source: &'a Source, config: &'a Arc<Config>, timeline: Option<u32>) -> Self {
        Self { source, config, timeline, weak: None, failures: Vec::new() }
    }

    /// Takes an answer in; hands it back if it is a good one.
    fn take(&mut self, endpoint: usize, answer: Result<Topology, Reason>) -> Option<(usize, Topology)> {
        match answer {
            Ok(topology) => match worth(&topology, self.config, self.timeline) {
                Worth::Good => Some((endpoint, topology)),
                worth => {
                    if self.weak.as_ref().is_none_or(|(best, ..)| worth > *best) {
                        self.weak = Some((worth, endpoint, topology));
                    }
                    None
                }
            },
            Err(reason) => {
                let text = format!("{}: {reason}", name(self.source, endpoint), reason = reason.text);
                self.failures.push(Failure { endpoint, text });
                None
            }
        }
    }

    /// Asks `endpoints` beside each other; the first good answer wins.
    fn race(&mut self, endpoints: &[usize], deadline: Deadline) -> Option<(usize, Topology)> {
        let (sender, answers) = mpsc::channel();
        let queue = Arc::new(Queue {
            source: self.source.clone(),
            config: Arc::clone(self.config),
            endpoints: endpoints.to_vec(),
            next: AtomicUsize::new(0),
            deadline,
        });
        let mut workers = 0;
        for _ in 0..endpoints.len().min(MAX_THREADS) {
            let (queue, sender) = (Arc::clone(&queue), sender.clone());
            match thread::spawn("hadsn-ask", move || queue.work(&sender)) {
                Ok(()) => workers += 1,
                Err(_) => break,
            }
        }
        if workers == 0 {
            // The system gives no thread: ask one after the other, here.
            queue.work(&sender);
        }
        drop(sender);

        // Somebody has to win against an endpoint that knows no leader, within reason.
        let mut until = deadline;
        if self.weak.is_some() {
            until = until.or_after(self.config.timing.hedge);
        }
        let mut silent: Vec<usize> = endpoints.to_vec();
        loop {
            let remaining = until.remaining().unwrap_or_default();
            match answers.recv_timeout(remaining) {
                Ok((endpoint, answer)) => {
                    silent.retain(|i| *i != endpoint);
                    let had_weak = self.weak.is_some();
                    if let Some(good) = self.take(endpoint, answer) {
                        return Some(good);
                    }
                    if !had_weak && self.weak.is_some() {
                        until = until.or_after(self.config.timing.hedge);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => break,
            }
        }
        for endpoint in silent {
            if !self.failures.iter().any(|f| f.endpoint == endpoint) {
                self.take(endpoint, Err(Reason::timeout(self.config.timing.timeout)));
            }
        }
        None
    }

    fn end(mut self) -> Result<(usize, Topology), Vec<String>> {
        if let Some((_, endpoint, topology)) = self.weak {
            return Ok((endpoint, topology));
        }
        self.failures.sort_by_key(|failure| failure.endpoint);
        Err(self.failures.into_iter().map(|failure| failure.text).collect())
    }
}

/// Endpoints that are asked beside each other, and who is next.
struct Queue {
    source: Source,
    config: Arc<Config>,
    endpoints: Vec<usize>,
    next: AtomicUsize,
    deadline: Deadline,
}

impl Queue {
    /// Asks until nobody is left, or nobody waits for the answers any more.
    fn work(&self, answers: &mpsc::Sender<(usize, Result<Topology, Reason>)>) {
        while let Some(&endpoint) = self.endpoints.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let address = &self.source.endpoints[endpoint];
            let answer = fetch(self.source.kind, address, &self.config, self.deadline);
            if answers.send((endpoint, answer)).is_err() {
                return;
            }
        }
    }
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

fn fetch(kind: SourceKind, endpoint: &Endpoint, config: &Config, deadline: Deadline) -> Result<Topology, Reason> {
    match kind {
        SourceKind::Patroni => patroni::fetch(endpoint, config, deadline),
    }
}

fn name(source: &Source, endpoint: usize) -> String {
    let kind = match source.kind {
        SourceKind::Patroni => "patroni",
    };
    format!("{kind} {}", source.endpoints[endpoint])
}

/// What an answer is worth, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Its leader is on a lower timeline than the one known before: it was deposed, unless all agree on it.
    Outdated,
    /// It knows no leader that may be connected to.
    Leaderless,
    Good,
}

/// Names are not looked up yet: one that is still unknown counts as usable.
fn worth(topology: &Topology, config: &Config, timeline: Option<u32>) -> Worth {
    let Ok(leader) = topology.leader() else { return Worth::Leaderless };
    match Route::to(leader, config, &Addresses::new()) {
        Err(NoRoute::NotAllowed(target)) if target.host.name().is_none() => return Worth::Leaderless,
        Ok(_) | Err(_) => {}
    }
    match (leader.timeline, timeline) {
        (Some(now), Some(before)) if now < before => Worth::Outdated,
        _ => Worth::Good,
    }
}

/// The addresses of members that are given by name. A name that does not answer now keeps the address that it had.
///
/// The leader's name is waited for until the deadline, unless its address was known before; all others for
/// `hedge` at most: a replica's name must not hold up the writer.
fn look_up_members(topology: &Topology, config: &Config, known: &Addresses, deadline: Deadline) -> Addresses {
    let mut wanted: HashMap<String, u16> = HashMap::new();
    for member in &topology.members {
        let target = route::target(member, config);
        if let Some(name) = target.host.name() {
            wanted.entry(name.to_owned()).or_insert(target.port);
        }
    }
    if wanted.is_empty() {
        return Addresses::new();
    }
    let mut addresses: Addresses =
        known.iter().filter(|(name, _)| wanted.contains_key(*name)).map(|(name, ip)| (name.clone(), *ip)).collect();
    let leader = topology.leader().ok().map(|leader| route::target(leader, config).host);
    let indispensable = leader.as_ref().and_then(Host::name).filter(|name| !addresses.contains_key(*name));

    let patience = config.timing.hedge;
    let (sender, found) = mpsc::channel();
    for (name, port) in wanted {
        let sender = sender.clone();
        // Without a thread the name stays as it is, and if it is unknown the message of its route says so.
        let _ = thread::spawn("hadsn-member", move || {
            if let Ok(address) = names::reachable(&name, port, deadline, patience) {
                let _ = sender.send((name, address));
            }
        });
    }
    drop(sender);
    let soon = deadline.or_after(patience);
    loop {
        let is_missing = indispensable.is_some_and(|name| !addresses.contains_key(name));
        let until = if is_missing { deadline } else { soon };
        match found.recv_timeout(until.remaining().unwrap_or_default()) {
            Ok((name, address)) => addresses.insert(name, address),
            Err(_) => return addresses,
        };
    }
}

/// `2s`, `250ms`: as it would be written in the configuration.
fn humane(span: Duration) -> String {
    let millis = span.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// How many endpoints are asked at a time.
const MAX_THREADS: usize = 32;
