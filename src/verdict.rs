//! SQLSTATE + message + phase → what may be done again. Pure.
//!
//! PDO reports every failed connect as 08006, and what breaks in the middle of a statement as HY000
//! with code 7 (no SQLSTATE came from the server). Texts are libpq's and the server's in English;
//! what has an SQLSTATE of its own is told by that, whatever the language. docs/verdicts.md shows
//! the table.

use crate::address::{Endpoint, Host, parse_port};

/// What the application was doing when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting.
    Connect,
    /// Between BEGIN and COMMIT.
    InTransaction,
    /// COMMIT.
    Commit,
    /// A statement that is a transaction by itself.
    Autocommit,
    /// Not known.
    Unknown,
}

/// What an error means for the work that was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Not a failover error.
    Unrelated,
    /// The server provably did nothing that lasts: it may be done again.
    Retry,
    /// The server may have done it.
    InDoubt,
}

/// An error as PHP has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report<'a> {
    /// SQLSTATE, if the exception carries one.
    pub sqlstate: Option<&'a str>,
    /// The driver's own code: 7 is libpq's `PGRES_FATAL_ERROR`.
    pub driver_code: Option<i64>,
    /// The driver's message, or the exception's.
    pub message: &'a str,
}

/// What has happened to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens there.
    Refused,
    /// It did not come about: unreachable, timed out, broken off in the handshake.
    NotConnected,
    /// It did not come about, for a reason in a language that hadsn does not read.
    NotConnectedUnread,
    /// The server takes no connections now (57P03): it starts, stops or recovers.
    NotAccepting,
    /// libpq found the wrong kind of server (`target_session_attrs`).
    WrongRole,
    /// The server refused a write (25006).
    ReadOnly,
    /// There is no room for another connection (53300).
    TooManyConnections,
    /// It broke while it was in use.
    Lost,
    /// The server turned the login down: password, database, `pg_hba.conf`, TLS, a setting that it does not take.
    Login,
    /// Anything else.
    Other,
}

impl Fault {
    /// Reads it from a report.
    pub fn read(report: &Report) -> Self {
        let message = report.message;
        let is_connect = is_connect_text(message);
        let sqlstate = report.sqlstate.filter(|state| *state != "HY000").or_else(|| sqlstate_in(message));
        match sqlstate {
            // PDO's word for every failed connect: the text has to tell.
            Some("08006" | "08001" | "08004" | "08000") | None => {}
            // A mistake of the program, unless a pooler says it of its server.
            Some("08P01") if !message.contains("FATAL") => return Self::Other,
            Some(state) => return Self::of_sqlstate(state),
        }
        let contains = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        if contains(NOT_ACCEPTING) {
            Self::NotAccepting
        } else if contains(WRONG_ROLE) {
            Self::WrongRole
        } else if contains(TOO_MANY) {
            Self::TooManyConnections
        } else if contains(LOGIN) || is_connect && contains(LOGIN_OBJECT) {
            Self::Login
        } else if is_connect && contains(REFUSED) {
            Self::Refused
        } else if is_connect && (contains(NOT_CONNECTED) || contains(LOST)) {
            Self::NotConnected
        } else if contains(READ_ONLY) {
            Self::ReadOnly
        } else if contains(LOST) {
            Self::Lost
        } else if sqlstate.is_some() {
            Self::NotConnectedUnread
        } else if contains(LOCAL) {
            Self::Other
        } else if report.sqlstate == Some("HY000") && report.driver_code == Some(7) {
            // libpq made it up by itself: the server sent no SQLSTATE.
            Self::Lost
        } else {
            Self::Other
        }
    }

    /// What an SQLSTATE that a server sent says (PostgreSQL manual, appendix A).
    pub fn of_sqlstate(state: &str) -> Self {
        match state {
            "25006" => Self::ReadOnly,
            "57P03" => Self::NotAccepting,
            "57P01" | "57P02" | "57P05" => Self::Lost,
            "53300" => Self::TooManyConnections,
            "3D000" => Self::Login,
            state if state.starts_with("28") => Self::Login,
            state if state.starts_with("08") => Self::Lost,
            _ => Self::Other,
        }
    }

    /// What it means in a phase.
    pub fn judge(self, phase: Phase) -> Verdict {
        match (self, phase) {
            (Self::Refused | Self::NotAccepting | Self::WrongRole | Self::ReadOnly, _) => Verdict::Retry,
            (Self::TooManyConnections, Phase::Connect) => Verdict::Retry,
            (Self::TooManyConnections | Self::Login | Self::Other, _) => Verdict::Unrelated,
            // Nothing was sent on a connection that did not come about.
            (Self::NotConnected, Phase::Unknown) => Verdict::InDoubt,
            (Self::NotConnected, _) => Verdict::Retry,
            (Self::NotConnectedUnread | Self::Lost, Phase::Connect | Phase::InTransaction) => Verdict::Retry,
            (Self::NotConnectedUnread | Self::Lost, _) => Verdict::InDoubt,
        }
    }

    /// Whether it speaks against what is known of the cluster.
    pub fn is_suspicious(self) -> bool {
        !matches!(self, Self::TooManyConnections | Self::Login | Self::Other)
    }

    /// Whether trying to connect again can help.
    pub fn may_pass(self) -> bool {
        self.judge(Phase::Connect) == Verdict::Retry
    }
}

/// The texts with which libpq begins the report of a failed connect: 14 and later, and before.
fn is_connect_text(message: &str) -> bool {
    (message.contains("connection to server ") && message.contains(" failed: "))
        || message.contains("could not connect to server")
        || message.contains("could not translate host name")
}

/// `SQLSTATE[57P01]` in the message of an exception that carries nothing else.
fn sqlstate_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("SQLSTATE[")?;
    let state = rest.get(..5)?;
    (rest[5..].starts_with(']') && state != "HY000").then_some(state)
}

const REFUSED: &[&str] = &["Connection refused"];

const NOT_CONNECTED: &[&str] = &[
    "timeout expired",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "Host is down",
    "Host is unreachable",
    "could not translate host name",
    "server closed the connection unexpectedly",
    "Connection reset by peer",
    "Operation timed out",
];

const NOT_ACCEPTING: &[&str] = &[
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not accepting connections",
    "the database system is not yet accepting connections",
];

const WRONG_ROLE: &[&str] = &[
    "session is read-only",
    "session is not read-only",
    "server is in hot standby mode",
    "server is not in hot standby mode",
];

const READ_ONLY: &[&str] = &["in a read-only transaction", "cannot execute in a read-only transaction"];

const TOO_MANY: &[&str] =
    &["sorry, too many clients already", "remaining connection slots are reserved", "too many connections for"];

const LOGIN: &[&str] = &[
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "server does not support SSL",
    "certificate verify failed",
    "does not match host name",
    "authentication method requirement",
    "channel binding",
    "invalid connection option",
    "for connection option \"",
];

/// Of a role, a database, a certificate file, a setting; in a failed connect only.
const LOGIN_OBJECT: &[&str] = &[
    "\" does not exist",
    "unrecognized configuration parameter",
    "invalid value for parameter",
    "permission denied to set parameter",
    "invalid command-line argument",
    "unsupported startup parameter",
    "is not permitted to log in",
    "permission denied for database",
    "is not currently accepting connections",
];

/// What libpq says of itself and not of the connection.
const LOCAL: &[&str] = &[
    "number of parameters must be",
    "out of memory",
    "cannot allocate memory",
    "another command is already in progress",
];

const LOST: &[&str] = &[
    "server closed the connection unexpectedly",
    "terminating connection due to administrator command",
    "terminating connection because of",
    "no connection to the server",
    "connection not open",
    "SSL connection has been closed unexpectedly",
    "SSL SYSCALL error",
    "could not receive data from server",
    "could not send data to server",
    "lost synchronization with server",
];

/// The server that a failed connect is about, as libpq names it since PostgreSQL 14:
/// `connection to server at "db1" (10.0.0.1), port 5432 failed: …`. Its address goes before its name.
pub fn server_named_in(message: &str) -> Option<Endpoint> {
    let (_, rest) = message.split_once("connection to server at \"")?;
    let (host, rest) = rest.split_once('"')?;
    let (address, rest) = rest.split_once(", port ")?;
    let address = address.strip_prefix(" (").and_then(|address| address.strip_suffix(')')).unwrap_or(host);
    let port = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(Endpoint { host: Host::parse(address).ok()?, port: parse_port(port).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_a_failed_connect_is_read() {
        for (message, server) in [
            ("connection to server at \"127.0.0.12\", port 5432 failed: Connection refused", Some("127.0.0.12:5432")),
            (
                "[7] connection to server at \"db1\" (10.0.0.1), port 6432 failed: timeout expired",
                Some("10.0.0.1:6432"),
            ),
            ("connection to server at \"db1\" (::1), port 5432 failed: FATAL:  x", Some("[::1]:5432")),
            ("connection to server at \"db1\", port 5432 failed", Some("db1:5432")),
            ("connection to server at \"a b\", port 5432 failed", None),
            ("connection to server at \"a\", port 99999 failed", None),
            ("connection to server at \"a", None),
            ("connection to server on socket \"/tmp/.s.PGSQL.5432\" failed", None),
            ("", None),
        ] {
            assert_eq!(server_named_in(message).map(|server| server.to_string()).as_deref(), server, "{message}");
        }
    }
    use Phase::{Autocommit, Commit, Connect, InTransaction, Unknown};

    fn fault(sqlstate: &str, message: &str) -> Fault {
        Fault::read(&Report { sqlstate: Some(sqlstate), driver_code: Some(7), message })
    }

    fn refused(reason: &str) -> String {
        format!("connection to server at \"10.0.0.1\", port 5432 failed: {reason}")
    }

    #[test]
    fn a_failed_connect_is_told_by_its_text() {
        for (reason, expected) in [
            (
                "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
                Fault::Refused,
            ),
            ("timeout expired", Fault::NotConnected),
            ("No route to host", Fault::NotConnected),
            ("server closed the connection unexpectedly", Fault::NotConnected),
            ("SSL SYSCALL error: EOF detected", Fault::NotConnected),
            ("could not receive data from server: Connection reset by peer", Fault::NotConnected),
            ("FATAL:  the database system is starting up", Fault::NotAccepting),
            (
                "FATAL:  the database system is not accepting connections\nDETAIL:  Hot standby mode is disabled.",
                Fault::NotAccepting,
            ),
            ("session is read-only", Fault::WrongRole),
            ("FATAL:  sorry, too many clients already", Fault::TooManyConnections),
            ("FATAL:  password authentication failed for user \"app\"", Fault::Login),
            ("FATAL:  database \"nosuch\" does not exist", Fault::Login),
            ("FATAL:  role \"nobody\" is not permitted to log in", Fault::Login),
            ("server does not support SSL, but SSL was required", Fault::Login),
            ("FATAL:  unrecognized configuration parameter \"no.such\"", Fault::Login),
            ("FATAL:  invalid value for parameter \"work_mem\": \"much\"", Fault::Login),
            ("FATAL:  unsupported startup parameter: options", Fault::Login),
            ("Verbindungsaufbau abgelehnt", Fault::NotConnectedUnread),
        ] {
            assert_eq!(fault("08006", &refused(reason)), expected, "{reason}");
            assert_eq!(expected.may_pass(), expected != Fault::Login, "{reason}");
        }
        assert_eq!(fault("08006", "invalid connection option \"hots\""), Fault::Login);
        let old = "could not connect to server: Connection refused\n\tIs the server running on host \"a\"?";
        assert_eq!(fault("08006", old), Fault::Refused);
        assert_eq!(fault("08006", "could not translate host name \"a\" to address: unknown"), Fault::NotConnected);
    }

    #[test]
    fn an_sqlstate_is_told_in_any_language() {
        for (state, expected) in [
            ("25006", Fault::ReadOnly),
            ("57P01", Fault::Lost),
            ("57P02", Fault::Lost),
            ("57P03", Fault::NotAccepting),
            ("53300", Fault::TooManyConnections),
            ("28P01", Fault::Login),
            ("3D000", Fault::Login),
            ("08P01", Fault::Other),
            ("08003", Fault::Lost),
            ("23505", Fault::Other),
            ("40001", Fault::Other),
            ("40P01", Fault::Other),
        ] {
            assert_eq!(fault(state, "irgendetwas"), expected, "{state}");
        }
        assert_eq!(fault("08P01", "FATAL:  server conn crashed?"), Fault::Lost);
        assert_eq!(fault("HY000", "number of parameters must be between 0 and 65535"), Fault::Other);
        // Without an SQLSTATE from the server, libpq tells of its own connection.
        assert_eq!(fault("HY000", "die Verbindung wurde unerwartet geschlossen"), Fault::Lost);
    }

    #[test]
    fn a_text_without_anything_else_is_read() {
        let read = |message| Fault::read(&Report { message, ..Report::default() });
        assert_eq!(
            read("pg_query(): Query failed: ERROR:  cannot execute INSERT in a read-only transaction"),
            Fault::ReadOnly
        );
        assert_eq!(read("SQLSTATE[57P01]: Admin shutdown: 7 FATAL:  x"), Fault::Lost);
        assert_eq!(read("SQLSTATE[HY000]: General error: 7 no connection to the server"), Fault::Lost);
        assert_eq!(read("SQLSTATE[23505]: server closed the connection unexpectedly"), Fault::Other);
        assert_eq!(read("division by zero"), Fault::Other);
        assert_eq!(read("SQLSTATE["), Fault::Other);
        assert_eq!(read("SQLSTATE[äää"), Fault::Other);
    }

    #[test]
    fn the_phase_decides_what_a_lost_connection_means() {
        let verdicts =
            |fault: Fault| [Connect, InTransaction, Commit, Autocommit, Unknown].map(|phase| fault.judge(phase));
        use Verdict::{InDoubt, Retry, Unrelated};
        assert_eq!(verdicts(Fault::Lost), [Retry, Retry, InDoubt, InDoubt, InDoubt]);
        assert_eq!(verdicts(Fault::NotConnectedUnread), [Retry, Retry, InDoubt, InDoubt, InDoubt]);
        assert_eq!(verdicts(Fault::NotConnected), [Retry, Retry, Retry, Retry, InDoubt]);
        for fault in [Fault::Refused, Fault::NotAccepting, Fault::WrongRole, Fault::ReadOnly] {
            assert_eq!(verdicts(fault), [Retry; 5]);
        }
        assert_eq!(verdicts(Fault::TooManyConnections), [Retry, Unrelated, Unrelated, Unrelated, Unrelated]);
        assert_eq!(verdicts(Fault::Login), [Unrelated; 5]);
        assert_eq!(verdicts(Fault::Other), [Unrelated; 5]);
    }

    #[test]
    fn a_full_server_does_not_speak_against_the_cluster() {
        assert!(!Fault::TooManyConnections.is_suspicious());
        assert!(Fault::Lost.is_suspicious() && Fault::ReadOnly.is_suspicious());
    }
}
