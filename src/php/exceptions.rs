//! The exception classes, and how an [`Error`] becomes one.

use std::ffi::CString;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::builders::ClassBuilder;
use ext_php_rs::error::Result;
use ext_php_rs::ffi::zend_class_entry;
use ext_php_rs::flags::ClassFlags;
use ext_php_rs::types::{ZendHashTable, ZendObject};
use ext_php_rs::zend::{BailoutGuard, ClassEntry, ce};

use super::zend::{self, Class};
use crate::error::{Error, Kind};

static EXCEPTION: Class = Class::new();
static CONFIG: Class = Class::new();
static DISCOVERY: Class = Class::new();
static NO_LEADER: Class = Class::new();
static NO_REPLICA: Class = Class::new();

/// Registers `HaDsn\Exception` and the four classes that implement it.
pub(super) fn register() -> Result<()> {
    ClassBuilder::new(r"HaDsn\Exception")
        .flags(ClassFlags::Interface)
        .implements((ce::throwable, "Throwable"))
        .registration(|entry, arguments| EXCEPTION.set(entry, arguments))
        .register()?;
    concrete(r"HaDsn\ConfigException").registration(|e, a| CONFIG.set(e, a)).register()?;
    concrete(r"HaDsn\DiscoveryException").registration(|e, a| DISCOVERY.set(e, a)).register()?;
    concrete(r"HaDsn\NoLeaderException").registration(|e, a| NO_LEADER.set(e, a)).register()?;
    concrete(r"HaDsn\NoReplicaException").registration(|e, a| NO_REPLICA.set(e, a)).register()
}

/// Throws `error` in PHP.
pub(super) fn throw(error: Error) {
    let class = match error.kind() {
        Kind::Config => &CONFIG,
        Kind::Discovery => &DISCOVERY,
        Kind::NoLeader => &NO_LEADER,
        Kind::NoReplica => &NO_REPLICA,
    };
    let message = error.message().replace('\0', r"\0");
    drop(error);
    // The text has no NUL byte left.
    let message = BailoutGuard::new(CString::new(message).unwrap_or_default());
    zend::throw(class, message.get());
}

/// Throws `error` with `previous` behind it.
pub(super) fn throw_after(error: Error, previous: Option<ZBox<ZendObject>>) {
    if let Some(previous) = previous {
        // Zend chains a new exception to the one that is pending.
        zend::throw_object(previous);
    }
    throw(error);
}

/// Whether an exception is one of hadsn's.
pub(super) fn is_ours(exception: &ZendObject) -> bool {
    exception.instance_of(EXCEPTION.get())
}

/// Throws a PDOException with the same message, and `cause` behind it. Its SQLSTATE is 08006, PDO's for a
/// connect that failed, or HY000 where nothing was connected to.
pub(super) fn throw_pdo(cause: ZBox<ZendObject>) {
    let Some(class) = zend::class_named("pdoexception") else { return zend::throw_object(cause) };
    let is_config = cause.instance_of(CONFIG.get());
    let message = zend::property(exception_base(), &cause, "message");
    let text = message.string().unwrap_or_default().replace('\0', r"\0");
    let text = BailoutGuard::new(CString::new(text).unwrap_or_default());
    zend::throw_object(cause);
    let (sqlstate, code) = if is_config { ("HY000", zend::null()) } else { ("08006", zend::int(7)) };
    zend::throw_class(class, text.get());
    let mut info = ZendHashTable::new();
    for value in [zend::text(sqlstate), code, message] {
        let _ = info.push(value);
    }
    zend::set_on_pending(class, "errorInfo", zend::array(info));
    zend::set_on_pending(class, "code", zend::text(sqlstate));
}

fn exception_base() -> *mut zend_class_entry {
    std::ptr::from_ref(ce::exception()).cast_mut()
}

/// A subclass of RuntimeException: real file, line and trace, and PHP code can make and extend it.
fn concrete(name: &str) -> ClassBuilder {
    ClassBuilder::new(name).extends((runtime_exception, "RuntimeException")).implements((exception, r"HaDsn\Exception"))
}

fn exception() -> &'static ClassEntry {
    EXCEPTION.get()
}

fn runtime_exception() -> &'static ClassEntry {
    // SAFETY: SPL is always part of PHP and starts before any shared extension.
    unsafe { &*zend::spl_ce_RuntimeException }
}
