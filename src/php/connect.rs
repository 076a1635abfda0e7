//! Connecting through a failover: `HaDsn::connect()` and the `hadsn:` DSN.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::types::{ZendObject, Zval};
use ext_php_rs::zend::{BailoutGuard, ExecuteData};

use super::pdo::{self, Maker};
use super::request::{self, Role};
use super::wait::{self, Ended};
use super::{exceptions, verdicts, zend};
use crate::backoff;
use crate::cluster::{Call, Cluster, Wish};
use crate::config::{Fallback, Secret};
use crate::discovery::probe::{self, Login};
use crate::dsn::{self, Purpose};
use crate::error::{Error, Kind};
use crate::position::{Lsn, Position};
use crate::route::Route;
use crate::sys::clock::{self, Deadline};
use crate::sys::random;
use crate::verdict::Fault;

/// What is to be connected to.
pub(super) struct Wanted {
    pub(super) cluster: Arc<Cluster>,
    pub(super) role: Role,
    pub(super) max_lag: Option<u64>,
    /// A reader must have replayed this far.
    pub(super) after: Option<Position>,
    /// Goes before the configured database.
    pub(super) database: Option<String>,
    /// Whether the connection may be one that PDO has kept.
    pub(super) is_persistent: bool,
}

impl Wanted {
    /// Whether libpq's own check of the role is not enough: a pooler or PDO's pool may answer from
    /// memory, and only the server knows how far it has replayed.
    pub(super) fn needs_question(&self) -> bool {
        self.is_persistent || self.cluster.config().port.is_some() || self.after.is_some()
    }
}

/// Connects with `maker`, again and again for `failover_timeout`. Returns whether it did; if not, an
/// exception is pending.
pub(super) fn run(call: &mut ExecuteData, wanted: &Wanted, maker: &mut dyn Maker) -> bool {
    let asking = BailoutGuard::new(Call::now(login(wanted, maker)));
    let since = asking.since;
    let limit = wanted.cluster.failover_timeout();
    let mut tries = Tries { last: None, count: 0, first: None };
    loop {
        match round(call, wanted, maker, &mut tries, &asking) {
            Round::Connected => {
                request::log_in(&wanted.cluster, asking.login.as_ref(), wanted.role);
                return true;
            }
            Round::Thrown => return false,
            Round::Again => {}
        }
        let waited = clock::boottime().saturating_sub(since);
        let Some(left) = limit.checked_sub(waited).filter(|left| !left.is_zero()) else {
            // Handlers first: see wait::throw().
            if !zend::run_interrupts(call) {
                exceptions::throw_after(out_of_time(wanted, waited), tries.last.take());
            }
            return false;
        };
        let pause = backoff::full_jitter(tries.count, random::chance()).min(left);
        if !pause.is_zero() && wait::sleep(call, since, pause).is_err_and(|ended| thrown(ended, &mut tries)) {
            return false;
        }
        tries.count += 1;
    }
}

/// What has been tried so far.
struct Tries {
    /// The exception of the last attempt.
    last: Option<ZBox<ZendObject>>,
    count: u32,
    /// Where the last round began: with another one, the waiting begins anew.
    first: Option<SocketAddr>,
}

enum Round {
    Connected,
    Again,
    Thrown,
}

fn round(call: &mut ExecuteData, wanted: &Wanted, maker: &mut dyn Maker, tries: &mut Tries, asking: &Call) -> Round {
    let cluster = &wanted.cluster;
    let since = asking.since;
    let stages: &[Stage] = match wanted.role {
        Role::Writer => &[Stage::Leader],
        Role::Reader if must_read_from_leader(wanted, asking) => &[Stage::Leader],
        // What no replica has is read from the leader, whatever the fallback.
        Role::Reader if cluster.config().reader.fallback == Fallback::Error && wanted.after.is_none() => {
            &[Stage::Replicas]
        }
        Role::Reader => &[Stage::Replicas, Stage::Leader],
    };
    for (number, stage) in stages.iter().enumerate() {
        // How far a replica has replayed is asked on the connection: it may have come further than was known.
        let wish = Wish { max_lag: wanted.max_lag, after: None };
        let step = || match stage {
            Stage::Leader => cluster.candidate(asking),
            Stage::Replicas => cluster.reader(wish, asking),
        };
        let answer = match wait::until_ready(call, since, step) {
            Ok(answer) => BailoutGuard::new(answer),
            // The leader comes next.
            Err(Ended::Failed(error)) if error.kind() == Kind::NoReplica && number + 1 < stages.len() => continue,
            Err(ended) => {
                return match thrown(ended, tries) {
                    true => Round::Thrown,
                    false => Round::Again,
                };
            }
        };
        let routes = &answer.routes;
        let start = if routes.len() > 1 { cluster.pick(routes.len()) } else { 0 };
        // Where there is somebody else to connect to there is nothing to wait for, every other time at most.
        let first = routes.first().and_then(Route::socket_address);
        if number == 0 && tries.first != first {
            tries.first = first;
            if tries.count > 1 {
                tries.count = 0;
            }
        }
        for turn in 0..routes.len() {
            let is_first = number == 0 && turn == 0;
            if !is_first && left(wanted, since).is_zero() {
                return Round::Again;
            }
            let Some(route) = routes.get((start + turn) % routes.len()) else { continue };
            match attempt(wanted, route, *stage, maker, tries, since) {
                Round::Again => {}
                done => return done,
            }
        }
    }
    Round::Again
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Replicas,
    Leader,
}

/// What is left of `failover_timeout`.
fn left(wanted: &Wanted, since: Duration) -> Duration {
    wanted.cluster.failover_timeout().saturating_sub(clock::boottime().saturating_sub(since))
}

fn attempt(
    wanted: &Wanted,
    route: &Route,
    stage: Stage,
    maker: &mut dyn Maker,
    tries: &mut Tries,
    since: Duration,
) -> Round {
    let cluster = &wanted.cluster;
    let purpose = match wanted.role {
        Role::Writer => Purpose::Write,
        Role::Reader => Purpose::Read,
    };
    let text = match dsn::pdo(route, cluster.config(), purpose, wanted.database.as_deref()) {
        Ok(text) => BailoutGuard::new(text),
        Err(error) => {
            exceptions::throw(error);
            return Round::Thrown;
        }
    };
    let failure = match maker.make(&text) {
        Err(None) => return Round::Thrown,
        Err(exception) => exception,
        Ok(()) if !wanted.needs_question() => return Round::Connected,
        Ok(()) => match maker.object().map(|object| question(wanted, stage, object)) {
            Some(Reply::Fits) => return Round::Connected,
            Some(Reply::Behind) => return Round::Again,
            Some(Reply::WrongRole) => None,
            Some(Reply::Failed(exception)) => exception,
            None => None,
        },
    };
    let Some(exception) = failure else {
        if zend::outcome().is_err_and(|exception| exception.is_none()) {
            return Round::Thrown;
        }
        cluster.invalidate();
        return Round::Again;
    };
    let Some(mut fault) = verdicts::fault(&exception) else {
        // Not PDO's: a signal handler has thrown it.
        zend::throw_object(exception);
        return Round::Thrown;
    };
    if fault == Fault::NotConnectedUnread {
        fault = settled(wanted, route, maker, left(wanted, since)).unwrap_or(fault);
    }
    if !fault.may_pass() {
        zend::throw_object(exception);
        return Round::Thrown;
    }
    if fault.is_suspicious() {
        if stage == Stage::Replicas {
            cluster.refused(route);
        }
        cluster.invalidate();
    }
    tries.last = Some(exception);
    Round::Again
}

/// What hadsn's own attempt to connect says of a failure that PDO tells in another language.
fn settled(wanted: &Wanted, route: &Route, maker: &dyn Maker, left: Duration) -> Option<Fault> {
    let config = wanted.cluster.config();
    let deadline = Deadline::after(config.timing.connect_timeout.min(left));
    probe::fault(&login(wanted, maker)?, route, config, deadline)
}

/// Who `maker` logs in as.
fn login(wanted: &Wanted, maker: &dyn Maker) -> Option<Login> {
    let (user, password) = maker.credentials();
    Some(Login {
        user: user?,
        password: password.map(Secret::new),
        database: wanted.database.clone().or_else(|| wanted.cluster.config().database.clone()),
    })
}

/// What a server says of itself.
enum Reply {
    Fits,
    /// It has not replayed as far as the caller wants.
    Behind,
    WrongRole,
    Failed(Option<ZBox<ZendObject>>),
}

fn question(wanted: &Wanted, stage: Stage, object: &ZendObject) -> Reply {
    let sql = BailoutGuard::new(match wanted.after {
        Some(position) if stage == Stage::Replicas => {
            format!("SELECT pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn() >= '{}', false)", Lsn(position.lsn))
        }
        _ => "SELECT pg_is_in_recovery(), true".to_owned(),
    });
    let row = match pdo::row(object, &sql) {
        Ok(row) => row,
        Err(exception) => return Reply::Failed(exception),
    };
    let is_true = |column| row.get_index(column).is_some_and(pdo::is_true);
    let is_standby = is_true(0);
    // What no replica can be known to have is read from the leader, and from no other.
    let must_lead = wanted.role == Role::Writer || stage == Stage::Leader && wanted.after.is_some();
    if must_lead && is_standby {
        if wanted.is_persistent {
            // PDO would hand it out again: it has to die, not only to be let go.
            let _ = pdo::row(object, "SELECT pg_terminate_backend(pg_backend_pid())");
        }
        return Reply::WrongRole;
    }
    // The leader itself has everything.
    if is_standby && !is_true(1) { Reply::Behind } else { Reply::Fits }
}

/// Whether no replica can be known to have what the caller wrote: the position is on another timeline
/// than the leader's.
fn must_read_from_leader(wanted: &Wanted, asking: &Call) -> bool {
    let Some(position) = wanted.after else { return false };
    let Ok(snapshot) = wanted.cluster.topology(asking) else { return false };
    let timeline = snapshot.leader().and_then(|leader| leader.timeline);
    timeline != Some(position.timeline)
}

/// Deals with a wait that ended; returns whether an exception is pending now.
fn thrown(ended: Ended, tries: &mut Tries) -> bool {
    match ended {
        Ended::Thrown => {}
        Ended::Failed(error) => exceptions::throw_after(error, tries.last.take()),
    }
    true
}

fn out_of_time(wanted: &Wanted, waited: Duration) -> Error {
    match wanted.role {
        Role::Writer => Error::no_connection_to_leader(waited),
        Role::Reader => Error::no_connection_to_replica(waited),
    }
}

/// The token for [`Wanted::after`] of where `object` is now.
///
/// # Errors
///
/// The exception that PDO threw, or what is wrong with the answer.
pub(super) fn position(object: &ZendObject) -> Result<Position, Option<ZBox<ZendObject>>> {
    // The insert position is ahead of what is written, and so of what the caller has seen. On a standby
    // the timeline of the last restart point is the best that every role may read.
    const SQL: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                       ELSE pg_current_wal_insert_lsn() END::text, \
                       CASE WHEN pg_is_in_recovery() THEN lpad(to_hex((SELECT timeline_id FROM pg_control_checkpoint())), 8, '0') \
                       ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END";
    let row = pdo::row(object, SQL)?;
    let column = |number| row.get_index(number).and_then(Zval::str);
    let lsn = column(0).and_then(crate::position::parse_lsn);
    let timeline = column(1).and_then(|text| u32::from_str_radix(text, 16).ok());
    match (timeline, lsn) {
        (Some(timeline), Some(lsn)) => Ok(Position { timeline, lsn }),
        _ => Err(None),
    }
}
