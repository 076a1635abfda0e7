//! Everything that touches Zend: the classes, the ini settings, `phpinfo()`, the life of a request.
//!
//! A fatal error in PHP leaves by longjmp(3), over the heads of Rust frames. So a value that has to
//! be dropped lives in a [`BailoutGuard`](ext_php_rs::zend::BailoutGuard) while Zend is called, and
//! no lock is ever held then.

mod arguments;
#[cfg(feature = "bench")]
mod bench;
mod classes;
mod connect;
mod exceptions;
mod hook;
mod info;
mod ini;
mod methods;
mod pdo;
mod request;
mod settings;
mod values;
mod verdicts;
mod wait;
mod zend;

use ext_php_rs::builders::ModuleBuilder;

/// Adds hadsn to the module.
pub(crate) fn module(module: ModuleBuilder) -> ModuleBuilder {
    #[cfg(feature = "bench")]
    let module = bench::usual(module);
    module
        .startup_function(start_up)
        .request_startup_function(start_request)
        .post_deactivate_function(end_request)
        .info_function(info::print)
}

/// MINIT: runs once a process, in the FPM master before it forks. Starts nothing.
extern "C" fn start_up(_type: i32, module_number: i32) -> i32 {
    zend::status_of(|| {
        ini::register(module_number)?;
        exceptions::register()?;
        values::register()?;
        verdicts::register()?;
        classes::register()
    })
}

/// RINIT: PDO may have been loaded after hadsn.
extern "C" fn start_request(_type: i32, _module_number: i32) -> i32 {
    zend::status_of(|| {
        request::begin();
        hook::install();
        Ok(())
    })
}

/// After RSHUTDOWN of all extensions, when no PHP code runs any more: a session handler or a stream
/// wrapper may have called hadsn until now. What belongs to the request ends with it.
unsafe extern "C" fn end_request() -> i32 {
    zend::status_of(|| {
        request::end();
        Ok(())
    })
}
