//! The zero-code DSN: `new PDO('hadsn:…')` in any code that hands PDO a DSN.
//!
//! PDO's constructor is an internal function: its handler is replaced by one that looks at the first
//! argument, and passes everything else on. PHP 8.4 has `PDO::connect()` and `Pdo\Pgsql::connect()` beside it;
//! the constructor of `Pdo\Pgsql` is the same function as PDO's.

use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use ext_php_rs::boxed::ZBox;
use ext_php_rs::ffi::{_zend_function as zend_function, zend_class_entry};
use ext_php_rs::types::{ZendObject, Zval};
use ext_php_rs::zend::{BailoutGuard, ExecuteData, run_handler};

use super::arguments::{Object, Text, parse};
use super::connect::{self, Wanted};
use super::pdo::{self, Arguments, Fresh, Maker};
use super::request::{self, Role};
use super::settings::DEFAULT_CLUSTER;
use super::wait::{self, Ended};
use super::{exceptions, ini, verdicts, zend};
use crate::backoff;
use crate::error::Error;
use crate::pdo_dsn::PdoDsn;
use crate::sys::{clock, random};

/// Puts the hooks in place, once a process, as soon as PDO is there. At the start of a request.
pub(super) fn install() {
    // Threads of a thread-safe PHP share the functions.
    let Ok(mut is_settled) = SETTLED.lock() else { return };
    if *is_settled {
        return;
    }
    if !ini::has_pdo_dsn() {
        *is_settled = true;
        return;
    }
    let Some(pdo) = zend::class_named("pdo") else { return };
    *is_settled = true;
    CONSTRUCT.replace(zend::constructor(pdo));
    CONNECT.replace(zend::method(pdo, "connect"));
    let pgsql = zend::class_named(r"pdo\pgsql");
    CONNECT_PGSQL.replace(pgsql.and_then(|pgsql| zend::method(pgsql, "connect")));
}

static SETTLED: Mutex<bool> = Mutex::new(false);
static CONSTRUCT: Hook = Hook::new(construct);
static CONNECT: Hook = Hook::new(connect);
static CONNECT_PGSQL: Hook = Hook::new(connect_pgsql);

type Handler = unsafe extern "C" fn(*mut ExecuteData, *mut Zval);

/// A function whose handler is replaced, and the handler that it had.
struct Hook {
    replacement: Handler,
    original: AtomicPtr<()>,
}

impl Hook {
    const fn new(replacement: Handler) -> Self {
        Self { replacement, original: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn replace(&self, function: Option<*mut zend_function>) {
        let Some(function) = function else { return };
        // SAFETY: an internal function of PDO, which lives as long as the process. The original is
        // stored before anybody can run the replacement.
        unsafe {
            let handler = &raw mut (*function).internal_function.handler;
            let Some(original) = *handler else { return };
            if original as usize == self.replacement as usize {
                return;
            }
            self.original.store(original as *mut (), Ordering::Release);
            *handler = Some(self.replacement);
        }
    }

    /// Goes on as if there were no hook.
    #[inline]
    unsafe fn pass_on(&self, call: *mut ExecuteData, result: *mut Zval) {
        let original = self.original.load(Ordering::Acquire);
        if !original.is_null() {
            // SAFETY: stored by `replace`; call and result are the engine's.
            unsafe { std::mem::transmute::<*mut (), Handler>(original)(call, result) };
        }
    }
}

/// `PDO::__construct()`
unsafe extern "C" fn construct(call: *mut ExecuteData, result: *mut Zval) {
    // SAFETY: Zend passes a running call and a place for its result.
    unsafe {
        match asks_for_hadsn(&*call) {
            false => CONSTRUCT.pass_on(call, result),
            true => run_handler(std::panic::AssertUnwindSafe(|| construct_by_hadsn(&mut *call))),
        }
    }
}

/// `PDO::connect()`, from PHP 8.4 on.
unsafe extern "C" fn connect(call: *mut ExecuteData, result: *mut Zval) {
    // SAFETY: as in `construct`.
    unsafe { connect_or_pass_on(&CONNECT, "pdo", call, result) };
}

/// `Pdo\Pgsql::connect()`, from PHP 8.4 on.
unsafe extern "C" fn connect_pgsql(call: *mut ExecuteData, result: *mut Zval) {
    // SAFETY: as in `construct`.
    unsafe { connect_or_pass_on(&CONNECT_PGSQL, r"pdo\pgsql", call, result) };
}

unsafe fn connect_or_pass_on(hook: &Hook, class: &str, call: *mut ExecuteData, result: *mut Zval) {
    // SAFETY: Zend passes a running call and a place for its result.
    unsafe {
        if asks_for_hadsn(&*call) {
            run_handler(std::panic::AssertUnwindSafe(|| connect_by_hadsn(class, &mut *call, &mut *result)));
        } else {
            hook.pass_on(call, result);
        }
    }
}

/// Whether the first argument is a DSN of hadsn's, by itself or through a `pdo.dsn.*` alias.
#[inline]
fn asks_for_hadsn(call: &ExecuteData) -> bool {
    let Some(dsn) = zend::first_string(call) else { return false };
    // Most DSNs are told by their first byte.
    match dsn.first() {
        Some(b'h') if dsn.starts_with(PREFIX) => true,
        Some(_) if dsn.contains(&b':') => false,
        _ => is_alias(dsn),
    }
}

#[cold]
#[inline(never)]
fn is_alias(dsn: &[u8]) -> bool {
    alias(dsn).is_some()
}

fn alias(name: &[u8]) -> Option<Vec<u8>> {
    let mut setting = b"pdo.dsn.".to_vec();
    setting.extend_from_slice(name);
    zend::configured_text(&setting).filter(|value| value.starts_with(PREFIX))
}

/// The arguments of the call, as PDO declares them.
struct Call {
    wanted: BailoutGuard<Wanted>,
    arguments: Arguments,
}

fn read(call: &mut ExecuteData) -> Option<Call> {
    let (mut dsn, mut user, mut password, mut options) = (Text::none(), Text::none(), Text::none(), Object::none());
    let places = &mut [dsn.place(), user.place(), password.place(), options.place()];
    if !parse(call, c"S|S!S!a!", places) {
        return None;
    }
    let wanted = wanted(dsn.bytes());
    let mut wanted = match wanted {
        Ok(wanted) => BailoutGuard::new(wanted),
        Err(error) => {
            exceptions::throw(error);
            wrap();
            return None;
        }
    };
    let config = wanted.cluster.config();
    let arguments = Arguments::new(user.value().as_ref(), password.value().as_ref(), options.zval(), config);
    wanted.is_persistent = arguments.is_persistent;
    Some(Call { wanted, arguments })
}

fn wanted(dsn: &[u8]) -> Result<Wanted, Error> {
    let aliased = if dsn.contains(&b':') { None } else { alias(dsn) };
    let text = String::from_utf8_lossy(aliased.as_deref().unwrap_or(dsn));
    let dsn = PdoDsn::parse(text.strip_prefix("hadsn:").unwrap_or(&text))?;
    Ok(Wanted {
        cluster: request::cluster(dsn.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER))?,
        role: if dsn.is_reader { Role::Reader } else { Role::Writer },
        max_lag: dsn.max_lag,
        after: dsn.after,
        database: dsn.database,
        is_persistent: false,
    })
}

#[cold]
#[inline(never)]
fn construct_by_hadsn(call: &mut ExecuteData) {
    let Some(this) = zend::this(call) else { return };
    let Some(Call { wanted, arguments }) = read(call) else { return };
    let (Some(pdo), Some(scratch)) = (zend::class_named("pdo"), Fresh::new(&arguments)) else { return };
    let mut maker = InPlace { this, pdo, arguments: &arguments, scratch, may_begin_in_place: !wanted.needs_question() };
    if !connect::run(call, &wanted, &mut maker) {
        return wrap();
    }
    if !maker.is_in_place() {
        // The scratch object has shown that it works.
        maker.finish(call);
    }
}

#[cold]
#[inline(never)]
fn connect_by_hadsn(class: &str, call: &mut ExecuteData, result: &mut Zval) {
    let Some(class) = zend::class_named(class) else { return };
    let Some(function) = zend::method(class, "connect") else { return };
    let scope = zend::called_scope(call);
    let Some(Call { wanted, arguments }) = read(call) else { return };
    let mut maker = ByFunction { function, scope, arguments: &arguments, made: zend::null() };
    if connect::run(call, &wanted, &mut maker) {
        *result = std::mem::take(&mut maker.made);
    } else {
        wrap();
    }
}

/// Connects an object that exists already.
///
/// PDO's constructor can't be run twice on one object without leaking what the first run stored. So it
/// runs there once, at the first attempt, and everything after that is tried on scratch objects;
/// when one of them connects, the constructor runs a second time, on the object itself.
struct InPlace<'a> {
    this: &'a ZendObject,
    pdo: *mut zend_class_entry,
    arguments: &'a Arguments,
    scratch: Fresh<'a>,
    may_begin_in_place: bool,
}

impl InPlace<'_> {
    fn is_in_place(&self) -> bool {
        self.scratch.object().is_none()
    }

    /// Connects the object itself. What can have changed since the scratch object did may pass again.
    fn finish(&mut self, call: &mut ExecuteData) {
        let dsn = BailoutGuard::new(std::mem::take(&mut self.scratch.dsn));
        if !self.arguments.is_persistent {
            self.scratch.made = zend::null();
        }
        let since = clock::boottime();
        for tries in 1.. {
            pdo::construct(self.this, self.pdo, &dsn, self.arguments);
            let Err(Some(exception)) = zend::outcome() else { return };
            if tries == FINISH_TRIES || !verdicts::may_pass(&exception) {
                return zend::throw_object(exception);
            }
            if let Err(ended) = wait::sleep(call, since, backoff::full_jitter(tries, random::chance())) {
                if let Ended::Failed(_) = ended {
                    zend::throw_object(exception);
                }
                return;
            }
        }
    }
}

impl Maker for InPlace<'_> {
    fn make(&mut self, dsn: &str) -> Result<(), Option<ZBox<ZendObject>>> {
        if !std::mem::take(&mut self.may_begin_in_place) {
            return self.scratch.make(dsn);
        }
        pdo::construct(self.this, self.pdo, dsn, self.arguments);
        zend::outcome()
    }

    fn object(&self) -> Option<&ZendObject> {
        self.scratch.object()
    }

    fn credentials(&self) -> (Option<String>, Option<String>) {
        self.arguments.credentials()
    }
}

/// Connects by a static function that makes the object.
struct ByFunction<'a> {
    function: *mut zend_function,
    scope: *mut zend_class_entry,
    arguments: &'a Arguments,
    made: Zval,
}

impl Maker for ByFunction<'_> {
    fn make(&mut self, dsn: &str) -> Result<(), Option<ZBox<ZendObject>>> {
        self.made = zend::null();
        let made = zend::call(self.function, None, self.scope, &mut self.arguments.with(dsn));
        zend::outcome()?;
        self.made = made;
        Ok(())
    }

    fn object(&self) -> Option<&ZendObject> {
        self.made.object()
    }

    fn credentials(&self) -> (Option<String>, Option<String>) {
        self.arguments.credentials()
    }
}

/// Code that hands PDO a DSN catches PDOExceptions: an exception of hadsn's that is pending gets one around
/// it.
fn wrap() {
    let Err(Some(pending)) = zend::outcome() else { return };
    if exceptions::is_ours(&pending) {
        exceptions::throw_pdo(pending);
    } else {
        zend::throw_object(pending);
    }
}

/// About a second of tries.
const FINISH_TRIES: u32 = 10;

const PREFIX: &[u8] = b"hadsn:";
