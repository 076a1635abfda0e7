//! The one error type of hadsn, with one constructor per failure.
//!
//! A message is a lower-case fragment that names the thing and what to do. Whatever comes from
//! outside goes into it through [`shown`], so that it can neither add lines nor flood a log, and
//! passwords never do.

use std::fmt;
use std::path::Path;
use std::time::Duration;

/// What went wrong: the class of the exception that PHP sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The configuration or an argument is wrong: `HaDsn\ConfigException`.
    Config,
    /// No source gave an answer that can be used: `HaDsn\DiscoveryException`.
    Discovery,
    /// The sources answer, and there is no leader: `HaDsn\NoLeaderException`.
    NoLeader,
    /// There is no replica to read from: `HaDsn\NoReplicaException`.
    NoReplica,
}

/// A failure: what kind it is, and a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
    /// The message without the text that it is about, where it shows one.
    discreet: Option<String>,
    is_not_configured: bool,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The message, without a trailing full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether nothing configures the cluster, rather than something wrong.
    pub fn is_not_configured(&self) -> bool {
        self.is_not_configured
    }

    /// `self`, with the place the configuration came from in front of the message.
    #[must_use]
    pub fn from_origin(self, origin: &str) -> Self {
        Self::new(self.kind, format!("{origin}: {}", self.message))
    }

    /// The source string is wrong in a way that `reason` describes.
    pub(crate) fn source(position: usize, reason: impl fmt::Display) -> Self {
        Self::new(Kind::Config, format!("source {position}: {reason}"))
    }

    /// The source string has no source in it.
    pub(crate) fn no_source() -> Self {
        Self::new(Kind::Config, "no source: expected a URL such as patroni://10.0.0.1,10.0.0.2,10.0.0.3/app")
    }

    /// The value of an option can't be used.
    pub(crate) fn option(name: &str, value: &str, reason: impl fmt::Display) -> Self {
        let discreet = format!("option {name}: can't be used as it stands there ({WITHHELD})");
        let shown = format!("option {name}: {}: {reason}", shown(value));
        Self { discreet: Some(discreet), ..Self::new(Kind::Config, shown) }
    }

    /// The value of an option can't be used, and it is a secret.
    pub(crate) fn secret_option(name: &str, reason: impl fmt::Display) -> Self {
        Self::new(Kind::Config, format!("option {name}: {reason}"))
    }

    /// There is no option of that name.
    pub(crate) fn unknown_option(name: &str, known: &str) -> Self {
        let discreet = format!("unknown option ({WITHHELD}): the options are {known}");
        let shown = format!("unknown option {}: the options are {known}", shown(name));
        Self { discreet: Some(discreet), ..Self::new(Kind::Config, shown) }
    }

    /// An option has no value.
    pub(crate) fn no_value(pair: &str) -> Self {
        let discreet = format!("an option has no = ({WITHHELD}): expected name=value");
        let shown = format!("option {}: expected name=value", shown(pair));
        Self { discreet: Some(discreet), ..Self::new(Kind::Config, shown) }
    }

    /// `self` without the text that it is about: the text may be part of a secret.
    #[must_use]
    pub(crate) fn discreet(mut self) -> Self {
        if let Some(discreet) = self.discreet.take() {
            self.message = discreet;
        }
        self
    }

    /// The option stands there twice.
    pub(crate) fn repeated_option(name: &str) -> Self {
        Self::new(Kind::Config, format!("option {name}: given twice: keep one of them"))
    }

    /// The value or scheme is valid, and this version can't do it yet.
    pub(crate) fn not_yet(what: impl fmt::Display) -> Self {
        Self::new(
            Kind::Config,
            format!("{what}: not available in hadsn {} yet: leave it out", env!("CARGO_PKG_VERSION")),
        )
    }

    /// The cluster name breaks the rule for names.
    pub fn cluster_name(name: &str) -> Self {
        Self::new(
            Kind::Config,
            format!(
                "cluster {}: a name begins with a letter a-z, goes on with a-z, 0-9 and _ (64 at most), \
                 and is neither \"file\" nor ends in \"_file\"",
                shown(name)
            ),
        )
    }

    /// Nothing configures the cluster.
    pub fn not_configured(cluster: &str, variable: &str, ini: &str) -> Self {
        let message = format!(
            "cluster {}: no source is configured: call HaDsn::configure(), set the environment variable {variable}, \
             or {ini} in php.ini",
            shown(cluster)
        );
        Self { is_not_configured: true, ..Self::new(Kind::Config, message) }
    }

    /// A setting is there, and empty.
    pub fn empty_setting() -> Self {
        Self::new(Kind::Config, "is set, and empty: unset it, or give it a source URL")
    }

    /// A setting holds something that is no text: a NUL byte, or bytes that are not UTF-8.
    pub fn not_text(what: &str) -> Self {
        Self::new(Kind::Config, format!("contains {what}: remove it"))
    }

    /// The file that holds the source string can't be read.
    pub fn unreadable_file(path: &Path, reason: impl fmt::Display) -> Self {
        Self::new(Kind::Config, format!("file {}: {reason}", shown(&path.to_string_lossy())))
    }

    /// The role is neither `writer` nor `reader`.
    pub fn role(role: &str) -> Self {
        Self::new(Kind::Config, format!("role {}: expected \"writer\" or \"reader\"", shown(role)))
    }

    /// `$maxLag` is below zero.
    pub fn negative_max_lag(bytes: i64) -> Self {
        Self::new(Kind::Config, format!("maxLag {bytes}: expected a number of bytes, 0 or more"))
    }

    /// `$after` is not a token that this version hands out.
    pub fn position_token(token: &str) -> Self {
        Self::new(Kind::Config, format!("position token {}: not one of hadsn's", shown(token)))
    }

    /// A value can't be written in a DSN for PDO.
    pub(crate) fn not_for_pdo(keyword: &str, value: &str) -> Self {
        Self::new(
            Kind::Config,
            format!(
                "{keyword} {}: PDO turns every ; in a DSN into a space, so it can't hold this value: \
                 rename it, or use HaDsn::conninfo() with pg_connect()",
                shown(value)
            ),
        )
    }

    /// No source answered, and there is no topology that is young enough to be used.
    pub(crate) fn no_answer(reasons: impl fmt::Display) -> Self {
        Self::new(Kind::Discovery, format!("no source gave a usable answer: {reasons}"))
    }

    /// The last good topology is older than `max_stale`.
    pub(crate) fn too_stale(age: Duration, max_stale: Duration, cause: &Error) -> Self {
        Self::new(
            Kind::Discovery,
            format!(
                "{}; the last good answer is {:.1}s old, which is more than max_stale ({:.1}s)",
                cause.message,
                age.as_secs_f64(),
                max_stale.as_secs_f64()
            ),
        )
    }

    /// The sources answer that there is no leader, and the caller has waited long enough.
    pub(crate) fn no_leader(source: &str, waited: Duration, reason: impl fmt::Display) -> Self {
        Self::new(Kind::NoLeader, format!("no leader within {:.1}s: {source} answers: {reason}", waited.as_secs_f64()))
    }

    /// There is a leader, and no way to connect to it: `allow_hosts` forbids it, or its name has no address.
    pub(crate) fn leader_refused(source: &str, reason: impl fmt::Display) -> Self {
        Self::new(Kind::NoLeader, format!("no leader that can be connected to: {source} answers: {reason}"))
    }

    /// A signal came while the caller waited for a leader.
    pub fn wait_ended_by_signal(waited: Duration) -> Self {
        Self::new(Kind::NoLeader, format!("no leader yet: a signal ended the wait after {:.1}s", waited.as_secs_f64()))
    }

    /// The time for connecting to the leader is up.
    pub fn no_connection_to_leader(waited: Duration) -> Self {
        Self::new(Kind::NoLeader, format!("no connection to a leader within {:.1}s", waited.as_secs_f64()))
    }

    /// The time for connecting to a replica is up.
    pub fn no_connection_to_replica(waited: Duration) -> Self {
        Self::new(Kind::NoReplica, format!("no connection to a replica within {:.1}s", waited.as_secs_f64()))
    }

    /// PDO or its driver is not there.
    pub fn no_pdo() -> Self {
        Self::new(Kind::Config, "PDO is not loaded: install and load the extensions pdo and pdo_pgsql")
    }

    /// A connection did not say where its server is.
    pub fn no_position() -> Self {
        Self::new(
            Kind::Config,
            "the connection did not tell a position: it needs PostgreSQL and exceptions as error mode",
        )
    }

    /// A `hadsn:` DSN is malformed.
    pub(crate) fn dsn(reason: impl fmt::Display) -> Self {
        Self::new(Kind::Config, format!("DSN hadsn: {reason}"))
    }

    /// No replica fits, and `reader_fallback` is `error`.
    pub(crate) fn no_replica(source: &str, reasons: impl fmt::Display) -> Self {
        Self::new(Kind::NoReplica, format!("no replica to read from: {source}: {reasons}"))
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), discreet: None, is_not_configured: false }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// `text` for a message: in quotes, control characters escaped, cut after [`SHOWN_CHARS`].
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(SHOWN_CHARS) + 2);
    out.push('"');
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARS {
            out.push('…');
            break;
        }
        if c == '"' || c == '\\' || c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}

/// Why a message does not show its text.
const WITHHELD: &str = "not shown, since it may belong to patroni_password: write & as %26 there";

/// How many characters of a foreign text a message shows.
const SHOWN_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_break_or_flood_a_message() {
        assert_eq!(shown("a\nb\"c\0"), r#""a\nb\"c\u{0}""#);
        let long = shown(&"x".repeat(1000));
        assert_eq!(long.chars().count(), SHOWN_CHARS + 3);
    }
}
