//! `hadsn`: which PostgreSQL server of a Patroni cluster to connect to now.
//!
//! A table of contents: ARCHITECTURE.md tells what is where.

pub mod address;
pub mod backoff;
pub mod cluster;
pub mod config;
pub mod discovery;
pub mod dsn;
pub mod error;
pub mod route;
pub mod select;
pub mod sys;
pub mod topology;
