//! What PHP was started with: ini settings, environment, extensions, SAPI.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use ext_php_rs::ffi::{HashTable, zend_hash_str_find, zend_ini_entry};
use ext_php_rs::zend::ExecutorGlobals;

/// The value of an ini setting, as bytes: `None` when there is none of that name.
pub(in crate::php) fn ini_value(name: &str) -> Option<Vec<u8>> {
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
pub(in crate::php) fn configured_text(name: &[u8]) -> Option<Vec<u8>> {
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
pub(in crate::php) fn configured_names(prefix: &str) -> Vec<String> {
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
pub(in crate::php) fn environment(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: sapi_getenv() returns null or a NUL-terminated copy that is ours to free. getenv(3)
    // returns null or a pointer that holds until the environment changes, which the lock prevents
    // among PHP threads.
    unsafe {
        let of_sapi = sapi_getenv(name.as_ptr(), name.count_bytes());
        if !of_sapi.is_null() {
            let value = CStr::from_ptr(of_sapi).to_bytes().to_vec();
            ext_php_rs::alloc::efree(of_sapi.cast());
            return Some(value);
        }
        let _lock = EnvironmentLock::new();
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes().to_vec())
    }
}

/// The names of the process's environment variables.
pub(in crate::php) fn environment_names() -> Vec<String> {
    // SAFETY: the program itself can always be opened, and stays when its handle is closed. `environ` is null or a list of
    // NUL-terminated texts that ends with a null (environ(7)); the lock keeps PHP's threads from changing it.
    unsafe {
        // The program's, not the one that is linked here and that std reads. PHP loads extensions with RTLD_DEEPBIND: they
        // see libc's own first, which stays empty where the program holds a copy, as linkers make it unless told otherwise.
        let program = libc::dlopen(ptr::null(), libc::RTLD_LAZY);
        if program.is_null() {
            return Vec::new();
        }
        let environ = libc::dlsym(program, c"environ".as_ptr()).cast::<*const *const c_char>();
        libc::dlclose(program);
        let _lock = EnvironmentLock::new();
        let mut names = Vec::new();
        let mut next = environ.as_ref().copied().unwrap_or(ptr::null());
        while let Some(entry) = next.as_ref().copied().filter(|entry| !entry.is_null()) {
            let text = CStr::from_ptr(entry).to_bytes();
            let name = text.split(|&byte| byte == b'=').next().unwrap_or(text);
            names.extend(String::from_utf8(name.to_vec()));
            next = next.add(1);
        }
        names
    }
}

/// Whether `open_basedir` lets the script read `path`.
pub(in crate::php) fn may_open(path: &CStr) -> bool {
    // SAFETY: a NUL-terminated path; no warning is raised.
    unsafe { php_check_open_basedir_ex(path.as_ptr(), 0) == 0 }
}

/// Whether the extension `name` is loaded.
pub(in crate::php) fn is_loaded(name: &str) -> bool {
    // SAFETY: the registry exists as long as PHP runs.
    unsafe { !zend_hash_str_find(&raw const module_registry, name.as_ptr().cast(), name.len()).is_null() }
}

/// The name of the SAPI: `cli`, `fpm-fcgi`, …
pub(in crate::php) fn sapi_name() -> &'static [u8] {
    // SAFETY: PHP sets the name before it loads extensions; it is a string constant.
    unsafe {
        let name = (*ext_php_rs::ffi::ext_php_rs_sapi_module()).name;
        if name.is_null() { b"" } else { CStr::from_ptr(name).to_bytes() }
    }
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

unsafe extern "C" {
    static module_registry: HashTable;

    fn php_ini_get_configuration_hash() -> *mut HashTable;

    fn sapi_getenv(name: *const c_char, length: usize) -> *mut c_char;

    fn php_check_open_basedir_ex(path: *const c_char, warn: c_int) -> c_int;
}
