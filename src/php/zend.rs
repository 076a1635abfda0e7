//! What ext-php-rs does not declare of Zend, and small wrappers that make it safe to use.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use ext_php_rs::boxed::ZBox;
use ext_php_rs::error::{Error, Result};
use ext_php_rs::ffi::{
    _zend_function as zend_function, HashTable, ZEND_ACC_PUBLIC, zend_class_entry, zend_enum_add_case,
    zend_enum_get_case, zend_hash_str_find, zend_ini_entry, zend_object, zend_read_property,
    zend_register_internal_enum, zend_string, zend_type, zval,
};
use ext_php_rs::types::{ZendHashTable, ZendObject, ZendStr, Zval};
use ext_php_rs::zend::{ClassEntry, ExecuteData, ExecutorGlobals};

/// A class that was registered at startup.
pub(super) struct Class(AtomicPtr<zend_class_entry>);

impl Class {
    /// One that is not registered yet.
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Keeps the entry that Zend made. Argument tables are borrowed by Zend for the life of the
    /// process: they are left to it.
    pub(super) fn set(&self, entry: &'static mut ClassEntry, arguments: ext_php_rs::args::ArgInfoTables) {
        std::mem::forget(arguments);
        self.0.store(ptr::from_mut(entry), Ordering::Release);
    }

    /// The entry; null before it is registered.
    pub(super) fn entry(&self) -> *mut zend_class_entry {
        self.0.load(Ordering::Acquire)
    }

    /// The entry, for a builder that runs after this class was registered.
    pub(super) fn get(&self) -> &'static ClassEntry {
        let entry = self.entry();
        assert!(!entry.is_null(), "the class is used before it is registered");
        // SAFETY: not null, and Zend keeps the entries of internal classes for the life of the process.
        unsafe { &*entry }
    }
}

/// The type of a property.
pub(super) enum Type {
    Array,
    Float,
    Int,
    NullableInt,
    NullableString,
    String,
    NullableClass(&'static str),
}

impl Type {
    fn to_zend(&self) -> zend_type {
        let (name, mask) = match self {
            Self::Array => (None, MAY_BE_ARRAY),
            Self::Float => (None, MAY_BE_DOUBLE),
            Self::Int => (None, MAY_BE_LONG),
            Self::NullableInt => (None, MAY_BE_LONG | MAY_BE_NULL),
            Self::NullableString => (None, MAY_BE_STRING | MAY_BE_NULL),
            Self::String => (None, MAY_BE_STRING),
            Self::NullableClass(name) => (Some(name), ext_php_rs::ffi::_ZEND_TYPE_NAME_BIT | MAY_BE_NULL),
        };
        let ptr = name.map_or(ptr::null_mut(), |name| interned(name).cast::<c_void>());
        zend_type { ptr, type_mask: mask }
    }
}

/// Declares `public readonly TYPE $name`. At startup only.
pub(super) fn declare_readonly(class: &Class, name: &str, property: &Type) {
    let mut undefined = Zval::new();
    // An undefined default makes the property uninitialised until it is set.
    undefined.u1.type_info = 0;
    // SAFETY: the class is registered, the name is interned for the life of the process, and Zend
    // copies the rest.
    unsafe {
        zend_declare_typed_property(
            class.entry(),
            interned(name),
            &raw mut undefined,
            (ZEND_ACC_PUBLIC | ZEND_ACC_READONLY).cast_signed(),
            ptr::null_mut(),
            property.to_zend(),
        );
    }
}

/// A case of a string-backed enum.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
}

/// Registers a string-backed enum. At startup only.
pub(super) fn register_enum(class: &Class, name: &CStr, cases: &[Case]) -> Result<()> {
    // SAFETY: the name is NUL-terminated, there are no methods, and names and values of the cases are
    // interned for the life of the process.
    unsafe {
        let entry = zend_register_internal_enum(name.as_ptr(), ext_php_rs::ffi::IS_STRING as u8, ptr::null());
        if entry.is_null() {
            return Err(Error::InvalidPointer);
        }
        class.0.store(entry, Ordering::Release);
        for case in cases {
            let mut value = Zval::new();
            value.value.str_ = interned(case.value);
            value.u1.type_info = ext_php_rs::ffi::IS_INTERNED_STRING_EX;
            zend_enum_add_case(entry, interned(case.name), &raw mut value);
            // Zend has it now, and an interned string is not counted.
            std::mem::forget(value);
        }
    }
    Ok(())
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

/// Marks parameter `number` (from 0) of `method` as `#[\SensitiveParameter]`: a stack trace hides its
/// value. At startup only.
pub(super) fn mark_sensitive(class: &Class, method: &str, number: u32) -> Result<()> {
    let name = method.to_ascii_lowercase();
    // SAFETY: the class is registered; its function table holds functions, and internal ones live as
    // long as the process. `attributes` starts out null, which zend_add_attribute() fills in.
    unsafe {
        let table = &raw const (*class.entry()).function_table;
        let found = zend_hash_str_find(table, name.as_ptr().cast(), name.len());
        let function = found.as_ref().ok_or(Error::InvalidPointer)?.value.func;
        // Parameters are counted from 1; 0 is the function itself.
        zend_add_attribute(
            &raw mut (*function).common.attributes,
            interned("SensitiveParameter"),
            0,
            ZEND_ATTRIBUTE_PERSISTENT,
            number + 1,
            0,
        );
    }
    Ok(())
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

/// The value of an ini setting, as bytes: `None` when there is none of that name.
pub(super) fn ini_value(name: &str) -> Option<Vec<u8>> {
    let globals = ExecutorGlobals::get();
    let directives = globals.ini_directives;
    if directives.is_null() {
        return None;
    }
    // SAFETY: the table holds pointers to zend_ini_entry; a value is a live zend_string or null.
    unsafe {
        let found = zend_hash_str_find(directives, name.as_ptr().cast(), name.len()).as_ref()?;
        let entry = found.value.ptr.cast::<zend_ini_entry>().as_ref()?;
        entry.value.as_ref().map(|value| value.as_bytes().to_vec())
    }
}

/// A text in php.ini or on the command line, registered or not.
pub(super) fn configured_text(name: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: the table belongs to PHP and does not change after startup.
    unsafe {
        let table = php_ini_get_configuration_hash();
        if table.is_null() {
            return None;
        }
        let found = zend_hash_str_find(table, name.as_ptr().cast(), name.len()).as_ref()?;
        found.is_string().then(|| (*found.value.str_).as_bytes().to_vec())
    }
}

/// The names in php.ini and on the command line that begin with `prefix`. At startup only.
pub(super) fn configured_names(prefix: &str) -> Vec<String> {
    // SAFETY: the table belongs to PHP and does not change during startup.
    let table = unsafe { php_ini_get_configuration_hash().as_ref() };
    let mut names = Vec::new();
    for (key, _) in table.into_iter().flatten() {
        let key = key.to_string();
        if key.starts_with(prefix) {
            names.push(key);
        }
    }
    names
}

/// An environment variable as `getenv()` sees it: the SAPI's first, then the process's.
pub(super) fn environment(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: sapi_getenv() returns null or a NUL-terminated copy that is ours to free. getenv(3)
    // returns null or a pointer that holds until the environment changes, which the lock prevents
    // among PHP threads.
    unsafe {
        let of_sapi = sapi_getenv(name.as_ptr(), name.count_bytes());
        if !of_sapi.is_null() {
            let value = CStr::from_ptr(of_sapi).to_bytes().to_vec();
            ext_php_rs::ffi::_efree(of_sapi.cast());
            return Some(value);
        }
        let _lock = EnvironmentLock::new();
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes().to_vec())
    }
}

/// The names of the process's environment variables.
pub(super) fn environment_names() -> Vec<String> {
    let _lock = EnvironmentLock::new();
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// Whether `open_basedir` lets the script read `path`.
pub(super) fn may_open(path: &CStr) -> bool {
    // SAFETY: a NUL-terminated path; no warning is raised.
    unsafe { php_check_open_basedir_ex(path.as_ptr(), 0) == 0 }
}

/// Whether the extension `name` is loaded.
pub(super) fn is_loaded(name: &str) -> bool {
    // SAFETY: the registry exists as long as PHP runs.
    unsafe { !zend_hash_str_find(&raw const module_registry, name.as_ptr().cast(), name.len()).is_null() }
}

/// The name of the SAPI: `cli`, `fpm-fcgi`, …
pub(super) fn sapi_name() -> &'static [u8] {
    // SAFETY: PHP sets the name before it loads extensions; it is a string constant.
    unsafe {
        let name = (*ext_php_rs::ffi::ext_php_rs_sapi_module()).name;
        if name.is_null() { b"" } else { CStr::from_ptr(name).to_bytes() }
    }
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

/// A string that lives as long as the process.
pub(super) fn interned(text: &str) -> *mut zend_string {
    ZendStr::new_interned(text, true).into_raw()
}

/// Keeps PHP's threads from changing the environment; there is nothing to lock without threads.
struct EnvironmentLock(Option<extern "C" fn()>);

impl EnvironmentLock {
    fn new() -> Self {
        let lock = tsrm_function(c"tsrm_env_lock");
        if let Some(lock) = lock {
            lock();
        }
        Self(lock.and_then(|_| tsrm_function(c"tsrm_env_unlock")))
    }
}

impl Drop for EnvironmentLock {
    fn drop(&mut self) {
        if let Some(unlock) = self.0 {
            unlock();
        }
    }
}

/// A function that only a thread-safe PHP exports.
fn tsrm_function(name: &CStr) -> Option<extern "C" fn()> {
    // SAFETY: dlsym(3) with a NUL-terminated name; both functions that are asked for take nothing and
    // return nothing.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        (!found.is_null()).then(|| std::mem::transmute::<*mut c_void, extern "C" fn()>(found))
    }
}

// Zend/zend_type_info.h: one bit a type.
const MAY_BE_NULL: u32 = 1 << 1;
const MAY_BE_LONG: u32 = 1 << 4;
const MAY_BE_DOUBLE: u32 = 1 << 5;
const MAY_BE_STRING: u32 = 1 << 6;
const MAY_BE_ARRAY: u32 = 1 << 7;

// Zend/zend_compile.h.
const ZEND_ACC_READONLY: u32 = 1 << 7;

// Zend/zend_attributes.h.
const ZEND_ATTRIBUTE_PERSISTENT: u32 = 1 << 0;

// main/php_syslog.h.
const LOG_NOTICE: c_int = 5;

unsafe extern "C" {
    /// Zend/zend_API.h: reads a call's arguments; throws and fails when they do not fit.
    pub(super) fn zend_parse_parameters(count: u32, spec: *const c_char, ...) -> c_int;

    /// ext/spl/spl_exceptions.h.
    pub(super) static spl_ce_RuntimeException: *mut zend_class_entry;

    static module_registry: HashTable;

    fn zend_declare_typed_property(
        class: *mut zend_class_entry,
        name: *mut zend_string,
        default: *mut zval,
        flags: c_int,
        doc_comment: *mut zend_string,
        property: zend_type,
    ) -> *mut c_void;

    fn zend_add_attribute(
        attributes: *mut *mut HashTable,
        name: *mut zend_string,
        argc: u32,
        flags: u32,
        offset: u32,
        line: u32,
    ) -> *mut c_void;

    fn zend_update_property_ex(
        scope: *mut zend_class_entry,
        object: *mut zend_object,
        name: *mut zend_string,
        value: *mut zval,
    );

    fn object_init_ex(place: *mut zval, class: *mut zend_class_entry) -> c_int;

    fn php_ini_get_configuration_hash() -> *mut HashTable;

    fn sapi_getenv(name: *const c_char, length: usize) -> *mut c_char;

    fn php_check_open_basedir_ex(path: *const c_char, warn: c_int) -> c_int;

    fn php_log_err_with_severity(message: *const c_char, severity: c_int);

    fn zend_timeout() -> !;
}
