//! What ext-php-rs does not declare of Zend, and small wrappers that make it safe to use.

mod host;
mod register;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use ext_php_rs::args::ArgInfoTables;
use ext_php_rs::boxed::ZBox;
use ext_php_rs::error::Result;
use ext_php_rs::ffi::{
    _zend_function as zend_function, zend_class_entry, zend_enum_get_case, zend_hash_str_find, zend_object,
    zend_read_property, zend_string, zval,
};
use ext_php_rs::types::{ZendHashTable, ZendObject, ZendStr, Zval};
use ext_php_rs::zend::{ClassEntry, ExecuteData, ExecutorGlobals};

pub(super) use host::{
    configured_names, configured_text, environment, environment_names, ini_value, is_loaded, may_open, sapi_name,
};
pub(super) use register::{Case, Type, declare_readonly, mark_sensitive, register_enum};

/// A class that was registered at startup.
pub(super) struct Class {
    entry: AtomicPtr<zend_class_entry>,
    /// Tables that Zend borrows for the life of the process.
    arguments: AtomicPtr<ArgInfoTables>,
}

impl Class {
    /// One that is not registered yet.
    pub(super) const fn new() -> Self {
        Self { entry: AtomicPtr::new(ptr::null_mut()), arguments: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Keeps the entry that Zend made, and the argument tables, which it never gives back.
    pub(super) fn set(&self, entry: &'static mut ClassEntry, arguments: ArgInfoTables) {
        self.arguments.store(Box::into_raw(Box::new(arguments)), Ordering::Release);
        self.set_entry(entry);
    }

    /// Keeps the entry of a class without methods of its own.
    fn set_entry(&self, entry: *mut zend_class_entry) {
        self.entry.store(entry, Ordering::Release);
    }

    /// The entry; null before it is registered.
    pub(super) fn entry(&self) -> *mut zend_class_entry {
        self.entry.load(Ordering::Acquire)
    }

    /// The entry, for a builder that runs after this class was registered.
    pub(super) fn get(&self) -> &'static ClassEntry {
        let entry = self.entry();
        assert!(!entry.is_null(), "the class is used before it is registered");
        // SAFETY: not null, and Zend keeps the entries of internal classes for the life of the process.
        unsafe { &*entry }
    }
}

/// Puts a case of a registered enum in `place`.
pub(super) fn set_case(place: &mut Zval, class: &Class, name: &str) {
    let name = ZendStr::new(name, false);
    // SAFETY: the enum is registered and has a case of that name; Zend keeps the object, and PHP gets
    // a reference of its own.
    unsafe {
        let object = zend_enum_get_case(class.entry(), name.as_ptr().cast_mut());
        if let Some(object) = object.as_mut() {
            place.set_object(object);
        }
    }
}

/// Reads a declared property, private ones too, in the scope of `class`; null when there is none.
pub(super) fn property(class: *mut zend_class_entry, object: &ZendObject, name: &str) -> Zval {
    let mut room = Zval::new();
    // SAFETY: class and object are alive; a missing property is not reported. The result points into
    // the object or at `room`.
    unsafe {
        let object = ptr::from_ref(object).cast_mut();
        let found = zend_read_property(class, object, name.as_ptr().cast(), name.len(), true, &raw mut room);
        found.as_ref().map_or_else(Zval::new, |value| value.dereference().shallow_clone())
    }
}

/// The object in a declared property, for as long as the one that holds it is not changed.
pub(super) fn object_property<'a>(
    class: *mut zend_class_entry,
    object: &'a ZendObject,
    name: &str,
) -> Option<&'a ZendObject> {
    let value = property(class, object, name);
    let inner: *const ZendObject = value.object()?;
    // SAFETY: the property holds a reference to it, and the caller lets nothing run that could change it.
    Some(unsafe { &*inner })
}

/// Makes an object of `class` in `place` without calling a constructor. Its properties are
/// uninitialised. Returns whether it could be made.
pub(super) fn make_object(place: &mut Zval, class: &Class) -> bool {
    // SAFETY: `place` is a valid zval, and the class is registered.
    unsafe { object_init_ex(place, class.entry()) == 0 }
}

/// Sets a property of an object made by [`make_object`], from inside its class.
pub(super) fn set_property(object: &Zval, class: &Class, name: &str, mut value: Zval) {
    let Some(object) = object.object() else { return };
    let name = ZendStr::new(name, false);
    // SAFETY: object and name are alive; Zend takes its own reference to the value.
    unsafe {
        zend_update_property_ex(
            class.entry(),
            ptr::from_ref(object).cast_mut(),
            name.as_ptr().cast_mut(),
            &raw mut value,
        );
    }
}

/// Makes an object of any class, as [`make_object`].
pub(super) fn make_object_of(place: &mut Zval, class: *mut zend_class_entry) -> bool {
    // SAFETY: `place` is a valid zval, and the class is alive.
    unsafe { object_init_ex(place, class) == 0 }
}

/// The class of that name, in lower case, if it is there; nothing is loaded for it.
pub(super) fn class_named(name: &str) -> Option<*mut zend_class_entry> {
    let table = ExecutorGlobals::get().class_table;
    if table.is_null() {
        return None;
    }
    // SAFETY: the table holds pointers to class entries.
    unsafe {
        let found = zend_hash_str_find(table, name.as_ptr().cast(), name.len()).as_ref()?;
        Some(found.value.ce)
    }
}

/// A method that a class declares itself; the name in lower case.
pub(super) fn method(class: *mut zend_class_entry, name: &str) -> Option<*mut zend_function> {
    // SAFETY: the class is alive, and its table holds functions.
    unsafe {
        let table = &raw const (*class).function_table;
        let found = zend_hash_str_find(table, name.as_ptr().cast(), name.len()).as_ref()?;
        Some(found.value.func)
    }
}

/// The constructor of a class.
pub(super) fn constructor(class: *mut zend_class_entry) -> Option<*mut zend_function> {
    // SAFETY: the class is alive.
    let constructor = unsafe { (*class).constructor };
    (!constructor.is_null()).then_some(constructor)
}

/// The first argument of a running call, if there is one and it is a string.
#[inline]
pub(super) fn first_string(call: &ExecuteData) -> Option<&[u8]> {
    const FRAME_SLOTS: usize = size_of::<ExecuteData>().div_ceil(size_of::<zval>());
    // SAFETY: `This.u2` holds the number of arguments. They lie behind the frame, from this slot on
    // (ZEND_CALL_FRAME_SLOT, Zend/zend_compile.h), and live as long as the call.
    unsafe {
        if call.This.u2.num_args == 0 {
            return None;
        }
        let argument = &*ptr::from_ref(call).cast::<zval>().add(FRAME_SLOTS);
        argument.is_string().then(|| (*argument.value.str_).as_bytes())
    }
}

/// The object that a method was called on.
pub(super) fn this<'a>(call: &ExecuteData) -> Option<&'a ZendObject> {
    let object: *const ZendObject = call.This.object()?;
    // SAFETY: the engine holds the object for as long as the call runs, and so do those who get it here.
    Some(unsafe { &*object })
}

/// The class that a static method was called on.
pub(super) fn called_scope(call: &ExecuteData) -> *mut zend_class_entry {
    // SAFETY: a static call holds its class where others hold their object.
    unsafe { call.This.value.ce }
}

/// Calls a function of the engine. It may run PHP code, throw, and leave by longjmp(3).
pub(super) fn call(
    function: *mut zend_function,
    object: Option<&ZendObject>,
    scope: *mut zend_class_entry,
    arguments: &mut [Zval],
) -> Zval {
    let mut result = Zval::new();
    let object = object.map_or(ptr::null_mut(), |object| ptr::from_ref(object).cast_mut());
    // SAFETY: the function belongs to a live class, and so does the object; Zend copies the arguments.
    unsafe {
        ext_php_rs::ffi::zend_call_known_function(
            function,
            object,
            scope,
            &raw mut result,
            u32::try_from(arguments.len()).unwrap_or(0),
            arguments.as_mut_ptr(),
            ptr::null_mut(),
        );
    }
    result
}

/// How a call into Zend has ended.
///
/// # Errors
///
/// The exception that it threw, no longer pending; none, if what is pending is not a Throwable but the engine's way to
/// leave (`exit`), which stays pending.
pub(super) fn outcome() -> std::result::Result<(), Option<ZBox<ZendObject>>> {
    // SAFETY: an exception is alive while it is pending.
    let pending = unsafe { (*ext_php_rs::ffi::ext_php_rs_executor_globals()).exception.as_ref() };
    match pending {
        None => Ok(()),
        Some(exception) if exception.instance_of(ext_php_rs::zend::ce::throwable()) => {
            Err(ExecutorGlobals::take_exception())
        }
        Some(_) => Err(None),
    }
}

/// Throws an exception that was caught before.
pub(super) fn throw_object(exception: ZBox<ZendObject>) {
    let mut value = Zval::new();
    value.value.obj = exception.into_raw();
    value.u1.type_info = ext_php_rs::ffi::IS_OBJECT_EX;
    // SAFETY: a live exception; Zend takes over the reference that `value` holds.
    unsafe { ext_php_rs::ffi::zend_throw_exception_object(&raw mut value) };
    std::mem::forget(value);
}

/// `null`.
pub(super) fn null() -> Zval {
    let mut value = Zval::new();
    value.set_null();
    value
}

/// A string of the request.
pub(super) fn text(value: &str) -> Zval {
    let mut zval = Zval::new();
    // Texts of hadsn are far from the length at which this fails.
    let _ = zval.set_string(value, false);
    zval
}

/// An int; one that PHP can't hold is the largest.
pub(super) fn int(value: u64) -> Zval {
    let mut zval = Zval::new();
    zval.set_long(i64::try_from(value).unwrap_or(i64::MAX));
    zval
}

/// An array.
pub(super) fn array(table: ZBox<ZendHashTable>) -> Zval {
    let mut zval = Zval::new();
    zval.set_hashtable(table);
    zval
}

/// Runs what PHP has pending: signal handlers, the end of the time limit. May run any PHP code, and
/// may leave by longjmp(3). Returns whether an exception is pending now.
pub(super) fn run_interrupts(call: &mut ExecuteData) -> bool {
    // SAFETY: the executor's globals exist during a call. The two flags are one byte each, and
    // written by signal handlers: they are only touched as atomics. The interrupt function takes the
    // running call, as zend_fcall_interrupt() hands it on.
    unsafe {
        let globals = ext_php_rs::ffi::ext_php_rs_executor_globals();
        let flag = |at: *mut c_void| std::sync::atomic::AtomicBool::from_ptr(at.cast::<bool>());
        if flag((&raw mut (*globals).vm_interrupt).cast()).swap(false, Ordering::AcqRel) {
            if flag((&raw mut (*globals).timed_out).cast()).load(Ordering::Acquire) {
                zend_timeout();
            }
            if let Some(interrupt) = ext_php_rs::ffi::zend_interrupt_function {
                interrupt(ptr::from_mut(call));
            }
        }
        !(*globals).exception.is_null()
    }
}

/// Throws an exception of `class`. Nothing that has to be dropped may be alive outside a guard.
pub(super) fn throw(class: &Class, message: &CStr) {
    throw_class(class.entry(), message);
}

/// Throws an exception of any class, as [`throw`].
pub(super) fn throw_class(class: *mut zend_class_entry, message: &CStr) {
    // SAFETY: the class is alive and Zend copies the message.
    unsafe { ext_php_rs::ffi::zend_throw_exception(class, message.as_ptr(), 0) };
}

/// Sets a property of the exception that is pending, in the scope of `class`.
pub(super) fn set_on_pending(class: *mut zend_class_entry, name: &str, mut value: Zval) {
    let name = ZendStr::new(name, false);
    // SAFETY: the exception is alive while it is pending; Zend takes its own reference to the value.
    unsafe {
        let pending = (*ext_php_rs::ffi::ext_php_rs_executor_globals()).exception;
        if !pending.is_null() {
            zend_update_property_ex(class, pending, name.as_ptr().cast_mut(), &raw mut value);
        }
    }
}

/// Runs a callback of the module: neither a panic nor an error may leave it.
pub(super) fn status_of(work: impl FnOnce() -> Result<()>) -> i32 {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => 0,
        Ok(Err(e)) => {
            log(&format!("hadsn: {e}"));
            -1
        }
        Err(_) => -1,
    }
}

/// A line for PHP's error log.
fn log(line: &str) {
    if let Ok(line) = CString::new(line) {
        // SAFETY: a NUL-terminated text.
        unsafe { php_log_err_with_severity(line.as_ptr(), LOG_NOTICE) };
    }
}

// main/php_syslog.h.
const LOG_NOTICE: c_int = 5;

unsafe extern "C" {
    /// Zend/zend_API.h: reads a call's arguments; throws and fails when they do not fit.
    pub(super) fn zend_parse_parameters(count: u32, spec: *const c_char, ...) -> c_int;

    /// ext/spl/spl_exceptions.h.
    pub(super) static spl_ce_RuntimeException: *mut zend_class_entry;

    fn zend_update_property_ex(
        scope: *mut zend_class_entry,
        object: *mut zend_object,
        name: *mut zend_string,
        value: *mut zval,
    );

    fn object_init_ex(place: *mut zval, class: *mut zend_class_entry) -> c_int;

    fn php_log_err_with_severity(message: *const c_char, severity: c_int);

    fn zend_timeout() -> !;
}
