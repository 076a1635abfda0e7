//! The source string, parsed once into a validated, immutable [`Config`].

mod libpq;
mod options;
mod rules;
mod units;
mod url;

use std::fmt;
use std::time::Duration;

use crate::address::Endpoint;
use crate::error::Error;
use crate::tls;

pub use rules::{AddressMap, AllowHosts};
pub use units::{parse_duration, parse_size};

/// Everything that one source string says.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the topology comes from, tried in order. Never empty.
    pub sources: Vec<Source>,
    /// The database to connect to; libpq's default is the user's name.
    pub database: Option<String>,
    /// Database credentials, for `HaDsn::conninfo()`; PDO takes them beside the DSN.
    pub credentials: Credentials,
    /// Everything that is measured in time.
    pub timing: Timing,
    /// How a replica is chosen.
    pub reader: ReaderPolicy,
    /// Connect to this port instead of the announced one (a pooler on each node).
    pub port: Option<u16>,
    /// Announced address to reachable address.
    pub map: AddressMap,
    /// Where members may be.
    pub allow_hosts: Option<AllowHosts>,
    /// The name server for SRV records; unset, the system's.
    pub nameserver: Option<Endpoint>,
    /// Basic authentication (RFC 7617) of the REST API.
    pub patroni_auth: Option<BasicAuth>,
    /// Whom to trust as a REST API over TLS.
    pub patroni_tls: tls::Settings,
    /// libpq keywords for every DSN, in the order in which they are written.
    pub libpq: Vec<(&'static str, String)>,
}

impl Config {
    /// Parses a source string: one or more URLs, separated by white space; options, credentials and
    /// the database stand on the first.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`](crate::error::Kind::Config), naming the source or the option, and the text
    /// unless it may be a secret.
    pub fn parse(text: &str) -> Result<Self, Error> {
        options::parse(text)
    }

    /// The whole source string without credentials, as it may be shown.
    pub fn display(&self) -> String {
        let mut out = String::new();
        for (i, source) in self.sources.iter().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            out.push_str(&source.display);
        }
        out
    }
}

/// One source: a kind and its hosts.
#[derive(Debug, Clone)]
pub struct Source {
    /// What is asked there.
    pub kind: SourceKind,
    /// Whom to ask.
    pub hosts: Hosts,
    /// The URL without credentials.
    pub display: String,
}

/// How a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Patroni's REST API over HTTP, or over HTTPS.
    Patroni {
        /// `patroni+https`.
        is_tls: bool,
    },
    /// The database servers themselves, by SQL.
    Postgresql,
}

/// Which hosts belong to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// These. Never empty.
    Listed(Vec<Endpoint>),
    /// Those that the SRV records of this name list (RFC 2782).
    Srv(String),
}

/// User and password of the database.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The role to log in as.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// User and password of the REST API.
#[derive(Debug, Clone)]
pub struct BasicAuth {
    /// `patroni_user`.
    pub user: String,
    /// `patroni_password`.
    pub password: Secret,
}

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything that is measured in time.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How often the leader is checked.
    pub poll: Duration,
    /// How long a topology counts as fresh.
    pub ttl: Duration,
    /// How long the last good topology may be used while every source is silent.
    pub max_stale: Duration,
    /// One discovery attempt over all endpoints.
    pub timeout: Duration,
    /// How long the first endpoint may take before the others are asked beside it.
    pub hedge: Duration,
    /// One attempt to connect to PostgreSQL.
    pub connect_timeout: Duration,
    /// How long a caller waits for a leader; unset, it depends on the SAPI.
    pub failover_timeout: Option<Duration>,
}

impl Timing {
    /// How long after it was confirmed a leader is handed out without asking again: two polls and
    /// a discovery, and never longer than a topology counts as fresh.
    pub fn leader_window(&self) -> Duration {
        (self.poll * 2 + self.timeout).min(self.ttl)
    }
}

/// How a replica is chosen.
#[derive(Debug, Clone)]
pub struct ReaderPolicy {
    /// Among those that fit.
    pub strategy: Strategy,
    /// When none fits.
    pub fallback: Fallback,
    /// Only synchronous and quorum standbys.
    pub sync_only: bool,
    /// A replica further behind (bytes), or whose lag is unknown, is not read from.
    pub max_lag: Option<u64>,
}

/// The order in which fitting replicas are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// One after the other.
    RoundRobin,
    /// Any, with equal chances.
    Random,
    /// The one that is the least behind; one after the other among equals.
    LeastLag,
    /// Those that are connected to the fastest; one after the other among equals.
    Nearest,
}

/// What a reader gets when no replica fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The leader.
    Writer,
    /// `HaDsn\NoReplicaException`.
    Error,
}

/// Whether `name` may name a cluster: `[a-z][a-z0-9_]*`, 64 characters at most, not `file` and not
/// ending in `_file` (those are the environment variables that name a file).
///
/// # Errors
///
/// [`Kind::Config`](crate::error::Kind::Config) with the rule.
pub fn check_cluster_name(name: &str) -> Result<(), Error> {
    let mut bytes = name.bytes();
    let well_formed = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= 64;
    if well_formed && name != "file" && !name.ends_with("_file") { Ok(()) } else { Err(Error::cluster_name(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_names_follow_the_rule() {
        for name in ["default", "orders", "a", "a1_b", "files", "file_a"] {
            assert!(check_cluster_name(name).is_ok(), "{name}");
        }
        for name in ["", "A", "1a", "_a", "a-b", "a b", "a\0", "file", "my_file", "é"] {
            assert!(check_cluster_name(name).is_err(), "{name:?}");
        }
        assert!(check_cluster_name(&"a".repeat(65)).is_err());
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
