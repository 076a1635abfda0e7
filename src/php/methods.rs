//! The methods of `HaDsn`, as Zend calls them.
//!
//! `writer()` and `reader()` first look for a string that was handed out before; that path makes no
//! allocation and takes no lock. Everything else runs in [`run_handler`], which stops panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ext_php_rs::ffi::zend_string;
use ext_php_rs::types::{ZendStr, Zval};
use ext_php_rs::zend::{BailoutGuard, ExecuteData, run_handler};

use super::arguments::{Object, Text, parse};
use super::connect::{self, Wanted};
use super::pdo::{Arguments, Fresh};
use super::request::{self, Role};
use super::settings::{self, DEFAULT_CLUSTER};
use super::wait::{self, Ended};
use super::{exceptions, values, verdicts, zend};
use crate::cluster::{Answer, Call, Cluster, Wish};
use crate::dsn::{self, Purpose};
use crate::error::Error;
use crate::position::Position;
use crate::verdict::Phase;

/// `HaDsn::configure(string $sources, string $cluster = 'default'): void`
pub(super) extern "C" fn configure(call: &mut ExecuteData, _result: &mut Zval) {
    handle(|| {
        let (mut sources, mut cluster) = (Text::none(), Text::none());
        if !parse(call, c"S|S", &mut [sources.place(), cluster.place()]) {
            return;
        }
        let configured =
            cluster.name().and_then(|name| request::configure(&settings::text(sources.bytes().to_vec())?, name));
        if let Err(error) = configured {
            exceptions::throw(error);
        }
    });
}

/// `HaDsn::writer(string $cluster = 'default'): string`
pub(super) extern "C" fn writer(call: &mut ExecuteData, result: &mut Zval) {
    if hand_out(call, result, Role::Writer) {
        return;
    }
    handle(|| {
        let mut cluster = Text::none();
        if parse(call, c"|S", &mut [cluster.place()]) {
            answer(call, result, &Question { cluster, ..Question::new(Role::Writer) });
        }
    });
}

/// `HaDsn::reader(string $cluster = 'default', ?int $maxLag = null, ?string $after = null): string`
pub(super) extern "C" fn reader(call: &mut ExecuteData, result: &mut Zval) {
    if hand_out(call, result, Role::Reader) {
        return;
    }
    handle(|| {
        let (mut cluster, mut after) = (Text::none(), Text::none());
        let (mut max_lag, mut no_max_lag) = (0_i64, true);
        let places = &mut [cluster.place(), (&raw mut max_lag).cast(), (&raw mut no_max_lag).cast(), after.place()];
        if !parse(call, c"|Sl!S!", places) {
            return;
        }
        let after = match after.position() {
            Ok(after) => after,
            Err(error) => return exceptions::throw(error),
        };
        let max_lag = match u64::try_from(max_lag) {
            _ if no_max_lag => None,
            Ok(bytes) => Some(bytes),
            Err(_) => return exceptions::throw(Error::negative_max_lag(max_lag)),
        };
        answer(call, result, &Question { cluster, max_lag, after, ..Question::new(Role::Reader) });
    });
}

/// `HaDsn::conninfo(string $role = 'writer', string $cluster = 'default'): string`
pub(super) extern "C" fn conninfo(call: &mut ExecuteData, result: &mut Zval) {
    handle(|| {
        let (mut role, mut cluster) = (Text::none(), Text::none());
        if !parse(call, c"|SS", &mut [role.place(), cluster.place()]) {
            return;
        }
        let role = match role.role() {
            Ok(role) => role,
            Err(error) => return exceptions::throw(error),
        };
        answer(call, result, &Question { cluster, is_conninfo: true, ..Question::new(role) });
    });
}

/// `HaDsn::invalidate(string $cluster = 'default'): void`
pub(super) extern "C" fn invalidate(call: &mut ExecuteData, _result: &mut Zval) {
    handle(|| {
        let mut cluster = Text::none();
        if !parse(call, c"|S", &mut [cluster.place()]) {
            return;
        }
        match cluster.name().and_then(request::cluster) {
            Ok(cluster) => cluster.invalidate(),
            Err(error) => exceptions::throw(error),
        }
    });
}

/// `HaDsn::forget(string $cluster = 'default'): void`
pub(super) extern "C" fn forget(call: &mut ExecuteData, _result: &mut Zval) {
    handle(|| {
        let mut cluster = Text::none();
        if !parse(call, c"|S", &mut [cluster.place()]) {
            return;
        }
        match cluster.name().and_then(request::cluster) {
            Ok(cluster) => cluster.forget(),
            Err(error) => exceptions::throw(error),
        }
    });
}

/// `HaDsn::connect(?string $username = null, ?string $password = null, ?array $options = null, string $role =
/// 'writer', string $cluster = 'default', ?string $after = null): PDO`
pub(super) extern "C" fn connect(call: &mut ExecuteData, result: &mut Zval) {
    handle(|| {
        let (mut user, mut password, mut options) = (Text::none(), Text::none(), Object::none());
        let (mut role, mut cluster, mut after) = (Text::none(), Text::none(), Text::none());
        let places =
            &mut [user.place(), password.place(), options.place(), role.place(), cluster.place(), after.place()];
        if !parse(call, c"|S!S!a!SSS!", places) {
            return;
        }
        let wanted = role.role().and_then(|role| {
            let after = after.position()?;
            let cluster = request::cluster(cluster.name()?)?;
            Ok(Wanted { cluster, role, max_lag: None, after, database: None, is_persistent: false })
        });
        let mut wanted = match wanted {
            Ok(wanted) => BailoutGuard::new(wanted),
            Err(error) => return exceptions::throw(error),
        };
        let arguments =
            Arguments::new(user.value().as_ref(), password.value().as_ref(), options.zval(), wanted.cluster.config());
        wanted.is_persistent = arguments.is_persistent;
        let Some(mut maker) = Fresh::new(&arguments) else { return exceptions::throw(Error::no_pdo()) };
        if connect::run(call, &wanted, &mut maker) {
            *result = std::mem::take(&mut maker.made);
        }
    });
}

/// `HaDsn::position(PDO $pdo): string`
pub(super) extern "C" fn position(call: &mut ExecuteData, result: &mut Zval) {
    handle(|| {
        let mut object = Object::none();
        let Some(pdo) = zend::class_named("pdo") else { return exceptions::throw(Error::no_pdo()) };
        if !parse(call, c"O", &mut [object.place(), pdo.cast()]) {
            return;
        }
        let Some(object) = object.get() else { return };
        match connect::position(object) {
            Ok(position) => set_string(result, ZendStr::new(position.to_string(), false).into_raw()),
            Err(Some(exception)) => zend::throw_object(exception),
            Err(None) if zend::outcome().is_err() => {}
            Err(None) => exceptions::throw(Error::no_position()),
        }
    });
}

/// `HaDsn::verdict(\Throwable $error, HaDsn\Phase $phase = HaDsn\Phase::Unknown, ?string $cluster = null): HaDsn\Verdict`
pub(super) extern "C" fn verdict(call: &mut ExecuteData, result: &mut Zval) {
    handle(|| {
        let (mut error, mut phase, mut cluster) = (Object::none(), Object::none(), Text::none());
        // SAFETY: Zend sets it at its own startup.
        let throwable = unsafe { ext_php_rs::ffi::zend_ce_throwable };
        let places =
            &mut [error.place(), throwable.cast(), phase.place(), verdicts::PHASE.entry().cast(), cluster.place()];
        if !parse(call, c"O|OS!", places) {
            return;
        }
        let Some(error) = error.get() else { return };
        let phase = phase.get().map_or(Phase::Unknown, verdicts::phase);
        let named = match cluster.is_none() {
            true => Ok(None),
            false => cluster.name().and_then(request::cluster).map(Some),
        };
        match named {
            Err(error) => exceptions::throw(error),
            Ok(named) => {
                let finding = verdicts::judge(error, phase);
                if finding.is_suspicious {
                    for cluster in named.map_or_else(request::used_clusters, |cluster| vec![cluster]) {
                        if let Some(server) = &finding.server {
                            cluster.refused_at(server);
                        }
                        cluster.invalidate();
                    }
                }
                let verdict = finding.verdict;
                drop(finding);
                verdicts::set_verdict(result, verdict);
            }
        }
    });
}

/// `HaDsn::topology(string $cluster = 'default'): HaDsn\Topology`
pub(super) extern "C" fn topology(call: &mut ExecuteData, result: &mut Zval) {
    handle(|| {
        let mut cluster = Text::none();
        if !parse(call, c"|S", &mut [cluster.place()]) {
            return;
        }
        let found = cluster.name().and_then(|name| {
            let cluster = request::cluster(name)?;
            let snapshot = cluster.topology(&Call::now(request::login(&cluster)))?;
            Ok((snapshot, cluster.epoch(), name.to_owned()))
        });
        match found {
            Ok((snapshot, epoch, name)) => {
                let seen = BailoutGuard::new(values::Seen { snapshot, epoch, name });
                values::topology(result, &seen);
            }
            Err(error) => wait::throw(call, error),
        }
    });
}

/// `HaDsn::status(): array`
pub(super) extern "C" fn status(call: &mut ExecuteData, result: &mut Zval) {
    handle(|| {
        if parse(call, c"", &mut []) {
            let clusters = BailoutGuard::new(statuses());
            values::status(result, &clusters);
        }
    });
}

/// `HaDsn::__construct()`: private, and never called.
pub(super) extern "C" fn no_instance(_call: &mut ExecuteData, _result: &mut Zval) {}

/// Every cluster that is configured, with its status or what is wrong with its configuration.
pub(super) fn statuses() -> Vec<(String, Result<crate::cluster::Status, Error>)> {
    let mut names = settings::clusters();
    names.extend(request::used_names());
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let status = request::cluster(&name).map(|cluster| cluster.status());
            (name, status)
        })
        .collect()
}

/// What a DSN is asked for.
struct Question {
    cluster: Text,
    role: Role,
    max_lag: Option<u64>,
    after: Option<Position>,
    is_conninfo: bool,
}

impl Question {
    fn new(role: Role) -> Self {
        Self { cluster: Text::none(), role, max_lag: None, after: None, is_conninfo: false }
    }

    fn purpose(&self) -> Purpose {
        match self.role {
            Role::Writer => Purpose::Write,
            Role::Reader => Purpose::Read,
        }
    }
}

fn answer(call: &mut ExecuteData, result: &mut Zval, question: &Question) {
    let found = question.cluster.name().and_then(|name| Ok((name, request::cluster(name)?)));
    let (name, cluster) = match found {
        Ok((name, cluster)) => (name, BailoutGuard::new(cluster)),
        Err(error) => return exceptions::throw(error),
    };
    let asking = BailoutGuard::new(Call::now(request::login(&cluster)));
    let wish = Wish { max_lag: question.max_lag, after: question.after };
    let answer = wait::until_ready(call, asking.since, || match question.role {
        Role::Writer => cluster.writer(&asking),
        Role::Reader => cluster.reader(wish, &asking),
    });
    let answer = match answer {
        Ok(answer) => answer,
        Err(Ended::Thrown) => return,
        Err(Ended::Failed(error)) => return exceptions::throw(error),
    };
    match texts(&cluster, question, &answer) {
        Ok(texts) => {
            let kept = BailoutGuard::new((texts, answer));
            let (texts, answer) = kept.get();
            if !question.is_conninfo && question.max_lag.is_none() && question.after.is_none() {
                request::keep(name, &cluster, question.role, answer, texts);
            }
            if let Some(text) = texts.get(cluster.pick(texts.len())) {
                // SAFETY: a fresh string, with its one reference handed to PHP.
                set_string(result, ZendStr::new(text, false).into_raw());
            }
        }
        Err(error) => exceptions::throw(error),
    }
}

fn texts(cluster: &Arc<Cluster>, question: &Question, answer: &Answer) -> Result<Vec<String>, Error> {
    let config = cluster.config();
    let routes = answer.routes.iter();
    if question.is_conninfo {
        Ok(routes.map(|route| dsn::conninfo(route, config, question.purpose())).collect())
    } else {
        routes.map(|route| dsn::pdo(route, config, question.purpose(), None)).collect()
    }
}

/// Answers from what was handed out before, if the call asks for no more than a cluster.
#[inline]
fn hand_out(call: &mut ExecuteData, result: &mut Zval, role: Role) -> bool {
    // SAFETY: `This.u2` holds the number of arguments of a running call.
    let name = match unsafe { call.This.u2.num_args } {
        0 => Some(DEFAULT_CLUSTER.as_bytes()),
        1 => zend::first_string(call),
        _ => None,
    };
    let Some(string) = name.and_then(|name| request::hot(name, role)) else { return false };
    set_string(result, string.as_ptr());
    true
}

#[inline]
fn set_string(result: &mut Zval, string: *mut zend_string) {
    result.value.str_ = string;
    result.u1.type_info = ext_php_rs::ffi::IS_STRING_EX;
}

fn handle(work: impl FnOnce()) {
    run_handler(AssertUnwindSafe(work));
}
