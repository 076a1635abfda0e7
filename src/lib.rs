//! `hadsn`: which PostgreSQL server of a Patroni cluster to connect to now.
//!
//! A table of contents: ARCHITECTURE.md tells what is where.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod address;
pub mod backoff;
pub mod cluster;
pub mod config;
pub mod discovery;
pub mod dsn;
pub mod error;
pub mod experience;
pub mod pdo_dsn;
#[cfg(feature = "extension")]
#[allow(unsafe_code)]
mod php;
pub mod position;
pub mod route;
pub mod select;
#[allow(unsafe_code)]
pub mod sys;
pub mod tls;
pub mod topology;
pub mod verdict;

#[cfg(feature = "extension")]
#[allow(missing_docs)]
mod entry {
    use ext_php_rs::builders::ModuleBuilder;

    #[ext_php_rs::php_module]
    pub fn get_module(module: ModuleBuilder) -> ModuleBuilder {
        crate::php::module(module)
    }
}
