//! The one object that PHP talks to: a configuration, and what is known of its cluster.
//!
//! Nothing here waits for a leader: a caller that has to gets [`Step::Wait`], sleeps where PHP can
//! run its signal handlers, and asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::address::{Endpoint, Host};
use crate::backoff::{self, Budget};
use crate::config::{Config, Fallback, ReaderPolicy, Strategy};
use crate::discovery::probe::Login;
use crate::discovery::{self, Found, Look, Memory};
use crate::error::{Error, shown};
use crate::experience::{Experience, LEFT_OUT_FOR};
use crate::position::Position;
use crate::route::{self, Route};
use crate::select;
use crate::sys::clock::{self, Deadline};
use crate::sys::{fork, random};
use crate::topology::{Member, Topology};

/// A cluster that is asked for its leader and its replicas.
#[derive(Debug)]
pub struct Cluster {
    config: Arc<Config>,
    failover_timeout: Duration,
    state: Mutex<State>,
    epoch: AtomicU64,
    turn: AtomicUsize,
    /// The [`fork::generation`] that `turn` belongs to.
    generation: AtomicUsize,
}

/// One call of an application, for as long as it waits.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it began, by [`clock::boottime`].
    pub since: Duration,
    /// Who may ask database servers what they are, if the source has no credentials.
    pub login: Option<Login>,
}

impl Call {
    /// One that begins now.
    pub fn now(login: Option<Login>) -> Self {
        Self { since: clock::boottime(), login }
    }

    fn user(&self) -> Option<String> {
        self.login.as_ref().map(|login| login.user.clone())
    }

    /// How long it has waited.
    pub fn waited(&self) -> Duration {
        clock::boottime().saturating_sub(self.since)
    }
}

/// Which replicas will do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Bytes behind the leader at most; replaces the option of that name.
    pub max_lag: Option<u64>,
    /// It is known to have replayed so far.
    pub after: Option<Position>,
}

/// What a call for a writer or a reader came to.
#[derive(Debug)]
pub enum Step {
    /// Connect there.
    Ready(Answer),
    /// Ask again after this time.
    Wait(Duration),
    /// It can't be had.
    Failed(Error),
}

/// Where to connect.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The routes to choose from; one for a writer. Never empty.
    pub routes: Vec<Route>,
    /// How long they may be handed out without asking again.
    pub valid_for: Duration,
    /// The epoch they belong to: with another one they are void.
    pub epoch: u64,
}

/// A topology, and when it was learnt.
#[derive(Debug)]
pub struct Snapshot {
    /// What was found.
    pub found: Found,
    /// When it was asked for, by [`clock::boottime`].
    at: Duration,
}

/// What is known, for `HaDsn::status()` and `phpinfo()`.
#[derive(Debug, Clone)]
pub struct Status {
    /// The source string without credentials.
    pub source: String,
    /// The endpoint that answered last.
    pub answered_by: Option<String>,
    /// The leader's name.
    pub leader: Option<String>,
    /// Where the leader is connected to.
    pub leader_address: Option<String>,
    /// Age of the topology.
    pub age: Option<Duration>,
    /// Whether it can be relied on.
    pub freshness: Freshness,
    /// What went wrong at the last look.
    pub error: Option<Error>,
    /// How long a caller waits for a leader.
    pub failover_timeout: Duration,
    /// How often the topology has changed or was called in question.
    pub epoch: u64,
}

/// How far a topology can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Younger than `ttl`.
    Fresh,
    /// Older than `ttl`, or there is none yet.
    Stale,
    /// Something speaks against it: the next call looks again.
    Suspect,
}

impl Freshness {
    /// The word in `HaDsn::status()`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Suspect => "suspect",
        }
    }
}

#[derive(Debug, Default)]
struct State {
    last: Option<Arc<Snapshot>>,
    memory: Memory,
    experience: Experience,
    is_suspect: bool,
    /// The next call has to look, whatever is cached.
    must_look: bool,
    /// After a look that failed: when the next may be made while the last topology still serves.
    held_off_until: Duration,
    budget: Budget,
    error: Option<Error>,
    /// Who was to log in at the look that failed.
    failed_as: Option<String>,
}

impl Cluster {
    /// A cluster that nothing is known of yet. `failover_timeout` stands in where the configuration has none.
    pub fn new(config: Config, failover_timeout: Duration) -> Self {
        Self {
            failover_timeout: config.timing.failover_timeout.unwrap_or(failover_timeout),
            config: Arc::new(config),
            state: Mutex::default(),
            epoch: AtomicU64::new(0),
            turn: AtomicUsize::new(random::number()),
            generation: AtomicUsize::new(fork::generation()),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How long a caller waits for a leader, or for a connection.
    pub fn failover_timeout(&self) -> Duration {
        self.failover_timeout
    }

    /// Counts changes: an [`Answer`] of another epoch is void.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// The way to the leader.
    pub fn writer(&self, call: &Call) -> Step {
        self.leader(Need::Leader, call)
    }

    /// Like [`writer`](Self::writer), for a caller who verifies the server on the connection: one that is about to lead will
    /// do, and while no look is allowed the last known leader.
    pub fn candidate(&self, call: &Call) -> Step {
        self.leader(Need::Candidate, call)
    }

    fn leader(&self, need: Need, call: &Call) -> Step {
        let window = self.config.timing.leader_window();
        let current = match self.current(window, need, call) {
            Ok(current) => current,
            Err(step) => return step,
        };
        let answered_by = &current.snapshot.found.answered_by;
        let reason = match self.route_to_leader(&current.snapshot) {
            Ok(route) => return current.ready(vec![route]),
            Err(Unreachable::ThereIsOne(reason)) => {
                return Step::Failed(Error::leader_refused(answered_by, reason));
            }
            Err(Unreachable::NoLeader(reason)) => reason,
        };
        if need == Need::Candidate
            && let Some(route) = self.route_to_promoting(&current.snapshot)
        {
            return current.ready(vec![route]);
        }
        let waited = call.waited();
        match self.failover_timeout.checked_sub(waited) {
            Some(left) if !left.is_zero() => Step::Wait(backoff::pause(LOOK_EVERY, random::chance()).min(left)),
            _ => Step::Failed(Error::no_leader(answered_by, waited, reason)),
        }
    }

    /// The ways to the replicas that fit, or to the leader.
    pub fn reader(&self, wish: Wish, call: &Call) -> Step {
        let mut current = match self.current(self.config.timing.ttl, Need::Members, call) {
            Ok(current) => current,
            Err(step) => return step,
        };
        let max_lag = wish.max_lag.or(self.config.reader.max_lag);
        let policy = ReaderPolicy { max_lag, ..self.config.reader.clone() };
        let found = &current.snapshot.found;
        let reach = |member: &_| Route::to(member, &self.config, &found.addresses);
        match select::readers(&found.topology, found.leader.is_ok(), &policy, wish.after, reach) {
            Ok(reached) => {
                let routes = reached.into_iter().map(|(_, route)| route).collect();
                let (routes, is_whole) = self.preferred(routes);
                if !is_whole {
                    current.valid_for = current.valid_for.min(LEFT_OUT_FOR);
                }
                current.ready(routes)
            }
            // What no replica is known to have is read from the leader, which has everything.
            Err(_) if wish.after.is_some() || policy.fallback == Fallback::Writer => self.writer(call),
            Err(reasons) => Step::Failed(Error::no_replica(&found.answered_by, reasons)),
        }
    }

    /// Of `routes` those that connecting speaks for; and whether none was left out for having refused.
    fn preferred(&self, mut routes: Vec<Route>) -> (Vec<Route>, bool) {
        let state = self.state.lock();
        let count = routes.len();
        let now = clock::boottime();
        let is_left_out = |route: &Route| state.experience.is_left_out(route, now);
        // Better one that may refuse again than none.
        if !routes.iter().all(is_left_out) {
            routes.retain(|route| !is_left_out(route));
        }
        let is_whole = routes.len() == count;
        if self.config.reader.strategy == Strategy::Nearest {
            let mut is_near = state.experience.nearest(&routes.iter().collect::<Vec<_>>()).into_iter();
            routes.retain(|_| is_near.next().unwrap_or(true));
        }
        (routes, is_whole)
    }

    /// A replica has refused a connection: others are taken for a while.
    pub fn refused(&self, route: &Route) {
        self.state.lock().experience.refused(route, clock::boottime());
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// The same, of the replica that is connected to at `server`, if there is one.
    pub fn refused_at(&self, server: &Endpoint) {
        let last = self.state.lock().last.clone();
        let Some(found) = last.as_ref().map(|last| &last.found) else { return };
        let reach = |member: &_| Route::to(member, &self.config, &found.addresses).ok();
        let is_there = |route: &Route| {
            let has_address = route.socket_address().is_some_and(|at| Host::Ip(at.ip()) == server.host);
            route.port == server.port && (has_address || route.host.is_same_as(&server.host))
        };
        if let Some(route) = found.topology.replicas().filter_map(reach).find(is_there) {
            self.refused(&route);
        }
    }

    /// Which of `count` routes of a reader to take now.
    pub fn pick(&self, count: usize) -> usize {
        // Children that went on where their parent stood would all take the same one.
        let generation = fork::generation();
        if self.generation.swap(generation, Ordering::Relaxed) != generation {
            self.turn.store(random::number(), Ordering::Relaxed);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let random = match self.config.reader.strategy {
            Strategy::Random => random::number(),
            Strategy::RoundRobin | Strategy::LeastLag | Strategy::Nearest => 0,
        };
        select::pick(self.config.reader.strategy, count, turn, random)
    }

    /// The topology, looked up again if it is older than `ttl`.
    ///
    /// # Errors
    ///
    /// [`Kind::Discovery`](crate::error::Kind::Discovery) when no source answers and nothing recent is known.
    pub fn topology(&self, call: &Call) -> Result<Arc<Snapshot>, Error> {
        match self.current(self.config.timing.ttl, Need::Members, call) {
            Ok(current) => Ok(current.snapshot),
            Err(Step::Failed(error)) => Err(error),
            // `Need::Members` is served by what there is, and waits for nothing else.
            Err(Step::Wait(_) | Step::Ready(_)) => Err(self.last_error()),
        }
    }

    /// Calls what is known in question: the next call looks again.
    pub fn invalidate(&self) {
        let mut state = self.state.lock();
        state.is_suspect = true;
        state.must_look = true;
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets who led and on which timeline, so that a restored or rebuilt cluster is taken as it is: the next call looks.
    pub fn forget(&self) {
        self.state.lock().memory.forget();
        self.invalidate();
    }

    /// What is known, without asking anybody.
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        let age = state.last.as_ref().map(|last| last.age());
        let leader = state.last.as_ref().and_then(|last| last.found.leader.as_ref().ok());
        Status {
            source: self.config.display(),
            answered_by: state.last.as_ref().map(|last| last.found.answered_by.clone()),
            leader: leader.map(|leader| leader.name.clone()),
            leader_address: leader.map(|leader| route::target(leader, &self.config).to_string()),
            age,
            freshness: match age {
                _ if state.is_suspect => Freshness::Suspect,
                Some(age) if age <= self.config.timing.ttl => Freshness::Fresh,
                _ => Freshness::Stale,
            },
            error: state.error.clone(),
            failover_timeout: self.failover_timeout,
            epoch: self.epoch(),
        }
    }

    /// The topology to answer from, not older than `window` unless the sources are silent.
    fn current(&self, window: Duration, need: Need, call: &Call) -> Result<Current, Step> {
        let now = clock::boottime();
        let memory = {
            let mut state = self.state.lock();
            let has_leader = state.last.as_ref().is_some_and(|last| self.route_to_leader(last).is_ok());
            if let Some(last) = &state.last
                && !state.must_look
                && (has_leader || need == Need::Members)
            {
                let fresh_for = window.saturating_sub(last.age());
                let usable_for = self.config.timing.max_stale.saturating_sub(last.age());
                let valid_for = fresh_for.max(state.held_off_until.saturating_sub(now).min(usable_for));
                if !valid_for.is_zero() {
                    return Ok(self.current_of(last, valid_for));
                }
            }
            let is_trouble = state.is_suspect || state.error.is_some() || (state.last.is_some() && !has_leader);
            if is_trouble && let Err(wait) = state.budget.take(now) {
                return self.without_a_look(&state, need, wait, call);
            }
            state.must_look = false;
            state.memory.clone()
        };
        let login = Login::of(&self.config).or_else(|| call.login.clone());
        let deadline = self.look_deadline(call);
        let look = discovery::discover(&self.config, &memory, login.as_ref(), deadline);
        if need == Need::Members {
            self.measure(&look, deadline);
        }
        self.learn(look, call, now, window)
    }

    /// Where the nearest replica is to be read from: how near they are.
    fn measure(&self, look: &Look, deadline: Deadline) {
        if self.config.reader.strategy != Strategy::Nearest {
            return;
        }
        let Ok(found) = &look.result else { return };
        let reach = |member: &_| Route::to(member, &self.config, &found.addresses).ok();
        let routes: Vec<Route> = found.topology.replicas().filter_map(reach).collect();
        let times = discovery::distances(&routes, deadline.or_after(self.config.timing.hedge));
        self.state.lock().experience.measured(routes.into_iter().zip(times).collect());
    }

    /// What a caller gets while no look is allowed, which is again after `wait`. The last one is a quarter of a
    /// second old at most then.
    fn without_a_look(&self, state: &State, need: Need, wait: Duration, call: &Call) -> Result<Current, Step> {
        let Some(last) = &state.last else {
            // What went wrong for one who logs in as somebody else says nothing.
            let error = state.error.clone().filter(|_| state.failed_as == call.user());
            return Err(error.map_or(Step::Wait(wait), Step::Failed));
        };
        let waited = call.waited();
        let has_leader = self.route_to_leader(last).is_ok();
        let serves = match need {
            // Reads go on with what there is.
            Need::Members => true,
            // Who verifies the server may try it.
            Need::Candidate => has_leader || self.route_to_promoting(last).is_some(),
            // As fresh as the budget allows.
            Need::Leader => has_leader && last.age() <= LOOK_EVERY,
        };
        let left = self.failover_timeout.saturating_sub(waited);
        if (serves || left.is_zero()) && last.age() <= self.config.timing.max_stale {
            return Ok(self.current_of(last, Duration::ZERO));
        }
        Err(Step::Wait(wait.min(left.max(MIN_WAIT))))
    }

    /// A look takes `timeout` at most; one of a caller who has waited already ends with the wait.
    fn look_deadline(&self, call: &Call) -> Deadline {
        let timeout = self.config.timing.timeout;
        let waited = call.waited();
        if waited < LOOK_EVERY {
            return Deadline::after(timeout);
        }
        let left = self.failover_timeout.saturating_sub(waited);
        Deadline::after(timeout.min(left.max(LOOK_EVERY)))
    }

    /// Takes in what a look that began at `asked_at` came to.
    fn learn(&self, look: Look, call: &Call, asked_at: Duration, window: Duration) -> Result<Current, Step> {
        let timing = &self.config.timing;
        let now = clock::boottime();
        let mut state = self.state.lock();
        state.memory = look.memory;
        match look.result {
            Ok(found) => {
                state.is_suspect = state.must_look;
                state.held_off_until = Duration::ZERO;
                state.error = None;
                // What the answer says was true at some moment since it was asked for.
                let snapshot = Arc::new(Snapshot { found, at: asked_at });
                state.last = Some(Arc::clone(&snapshot));
                let epoch = self.epoch.fetch_add(1, Ordering::Relaxed) + 1;
                Ok(Current { valid_for: window.saturating_sub(snapshot.age()), snapshot, epoch })
            }
            Err(error) => {
                // While the last topology serves, a sixth of the time at most is spent on asking.
                let took = now.saturating_sub(asked_at);
                let pause = (took * 5).clamp(LOOK_EVERY, timing.ttl.max(LOOK_EVERY));
                state.held_off_until = now + pause;
                state.error = Some(error.clone());
                state.failed_as = call.user();
                match &state.last {
                    None => Err(Step::Failed(error)),
                    Some(last) if last.age() > timing.max_stale => {
                        Err(Step::Failed(Error::too_stale(last.age(), timing.max_stale, &error)))
                    }
                    Some(last) => Ok(self.current_of(last, pause.min(timing.max_stale.saturating_sub(last.age())))),
                }
            }
        }
    }

    fn route_to_leader(&self, snapshot: &Snapshot) -> Result<Route, Unreachable> {
        let found = &snapshot.found;
        let leader = found.leader.as_ref().map_err(|reason| Unreachable::NoLeader(reason.clone()))?;
        Route::to(leader, &self.config, &found.addresses)
            .map_err(|e| Unreachable::ThereIsOne(format!("the leader {}: {e}", shown(&leader.name))))
    }

    /// The way to a member that is about to lead.
    fn route_to_promoting(&self, snapshot: &Snapshot) -> Option<Route> {
        let found = &snapshot.found;
        Route::to(found.promoting.as_ref()?, &self.config, &found.addresses).ok()
    }

    /// What is current, read under the lock.
    fn current_of(&self, last: &Arc<Snapshot>, valid_for: Duration) -> Current {
        Current { snapshot: Arc::clone(last), valid_for, epoch: self.epoch() }
    }

    fn last_error(&self) -> Error {
        let error = self.state.lock().error.clone();
        error.unwrap_or_else(|| Error::no_answer("nothing was asked yet"))
    }
}

impl Snapshot {
    /// How old it is.
    pub fn age(&self) -> Duration {
        clock::boottime().saturating_sub(self.at)
    }

    /// Its topology.
    pub fn topology(&self) -> &Topology {
        &self.found.topology
    }

    /// Who leads.
    pub fn leader(&self) -> Option<&Member> {
        self.found.leader.as_ref().ok()
    }
}

/// What to answer from.
struct Current {
    snapshot: Arc<Snapshot>,
    /// For how long it may be used without coming here again.
    valid_for: Duration,
    /// The epoch that it belongs to: one that has passed since makes the answer void.
    epoch: u64,
}

impl Current {
    fn ready(&self, routes: Vec<Route>) -> Step {
        Step::Ready(Answer { routes, valid_for: self.valid_for, epoch: self.epoch })
    }
}

/// What a caller can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A leader that can be connected to, seen lately.
    Leader,
    /// One that may be the leader.
    Candidate,
    /// Any topology.
    Members,
}

/// Why there is no way to the leader.
enum Unreachable {
    /// There is none, for this reason: one may come.
    NoLeader(String),
    /// There is one, and its address can't be used: waiting for a leader does not help.
    ThereIsOne(String),
}

/// The longest pause between two looks of a caller who waits: the budget's.
const LOOK_EVERY: Duration = Duration::from_millis(1000 / Budget::PER_SECOND as u64);

/// The shortest wait that is one.
const MIN_WAIT: Duration = Duration::from_millis(1);
