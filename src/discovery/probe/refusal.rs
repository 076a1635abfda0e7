//! Why a server gave no answer, in words that are safe for a message.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::session::Stage;
use crate::discovery::humane;
use crate::error::shown;
use crate::tls;
use crate::verdict::Fault;

/// Why a server gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As a fragment for a message, without the server's name. Nothing of the server is in it unescaped.
    pub text: String,
    /// Whether the server might have answered, had there been more time.
    pub is_timeout: bool,
    /// What the server sent (PostgreSQL manual, appendix A).
    pub sqlstate: Option<String>,
    fault: Option<Fault>,
}

impl Refusal {
    /// What it means for an attempt to connect; `None` when it is hadsn's own inability.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether the server turns the login down as it came: it may let in who comes with TLS, or without.
    pub(super) fn is_denial(&self) -> bool {
        self.sqlstate.as_deref().is_some_and(|state| state.starts_with("28"))
    }

    /// Whether the server speaks, and can't do what it was asked.
    pub(super) fn is_of_question(&self) -> bool {
        self.sqlstate.as_deref().is_some_and(|state| !["08", "53", "57"].iter().any(|class| state.starts_with(class)))
    }

    pub(super) fn silent(waited: Duration, stage: Stage) -> Self {
        let waited = Duration::from_millis(u64::try_from((waited.as_micros() + 500) / 1000).unwrap_or(u64::MAX));
        let accepted = if stage == Stage::Connecting { "" } else { ", though it accepts connections" };
        let text = format!("no answer within {}{accepted}", humane(waited));
        Self { is_timeout: true, ..Self::new(text, Some(Fault::NotConnected)) }
    }

    pub(super) fn late() -> Self {
        Self { is_timeout: true, ..Self::new("no time left to ask it", None) }
    }

    pub(super) fn no_runtime(error: &io::Error) -> Self {
        Self::unable(format!("it can't be asked: {error}"))
    }

    pub(super) fn no_address() -> Self {
        Self::unable("the host name has no address")
    }

    /// hadsn can't do what the configuration asks of it.
    pub(super) fn unable(text: impl Into<String>) -> Self {
        Self::new(text, None)
    }

    pub(super) fn not_connected(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::new("connection refused", Some(Fault::Refused)),
            ErrorKind::HostUnreachable => Self::new("the host can't be reached", Some(Fault::NotConnected)),
            ErrorKind::NetworkUnreachable => Self::new("there is no way to its network", Some(Fault::NotConnected)),
            ErrorKind::TimedOut => {
                Self { is_timeout: true, ..Self::new("the connection timed out", Some(Fault::NotConnected)) }
            }
            _ => Self::new(format!("could not connect: {error}"), Some(Fault::NotConnected)),
        }
    }

    /// The connection broke while something was expected of the server.
    pub(super) fn broken(error: &io::Error) -> Self {
        if let Some(refusal) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return refusal.clone();
        }
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::tls(error);
        }
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::closed(),
            // What tokio-postgres makes of bytes that it can't read.
            ErrorKind::InvalidInput | ErrorKind::InvalidData => Self::not_postgres(),
            _ => Self::new(format!("the exchange broke off: {}", shown(&error.to_string())), Some(Fault::NotConnected)),
        }
    }

    pub(super) fn closed() -> Self {
        Self::new("closed the connection before it answered", Some(Fault::NotConnected))
    }

    pub(super) fn not_postgres() -> Self {
        Self::new("speaks no PostgreSQL", Some(Fault::NotConnected))
    }

    pub(super) fn too_much() -> Self {
        Self::new("sends more than an answer can be: speaks no PostgreSQL", Some(Fault::NotConnected))
    }

    pub(super) fn odd_answer(what: &str) -> Self {
        Self::new(format!("answered with {what}"), None)
    }

    pub(super) fn no_tls(sslmode: &str) -> Self {
        Self::new(format!("has no TLS, which sslmode={sslmode} demands"), Some(Fault::Login))
    }

    pub(super) fn error_instead_of_tls() -> Self {
        // Who says so is not known yet: what it says is not shown (CVE-2024-10977).
        Self::new("answers the question for TLS with an error", Some(Fault::NotConnected))
    }

    pub(super) fn tls(error: &rustls::Error) -> Self {
        use rustls::CertificateError as E;
        let fault = match error {
            // libpq still takes a common name for the name of the host.
            rustls::Error::InvalidCertificate(E::NotValidForNameContext { presented, .. }) if presented.is_empty() => {
                None
            }
            // What OpenSSL would not accept either.
            rustls::Error::InvalidCertificate(
                E::UnknownIssuer
                | E::Expired
                | E::ExpiredContext { .. }
                | E::NotValidYet
                | E::NotValidYetContext { .. }
                | E::NotValidForName
                | E::NotValidForNameContext { .. }
                | E::Revoked,
            )
            | rustls::Error::AlertReceived(_) => Some(Fault::Login),
            _ => None,
        };
        Self::new(format!("TLS: {}", tls::explain(error)), fault)
    }

    pub(super) fn no_password(method: &str, user: &str) -> Self {
        Self::unable(format!("asks for the password of {} ({method}), and none is known", shown(user)))
    }

    pub(super) fn clear_password() -> Self {
        Self::unable("wants the password in the clear, and TLS did not come about")
    }

    pub(super) fn not_required_auth(method: &str, required: &str) -> Self {
        Self::new(
            format!("wants the authentication {method}, which require_auth={} does not allow", shown(required)),
            Some(Fault::Login),
        )
    }

    /// What `tokio-postgres` says, of the login of `user` to `database`.
    pub(super) fn of(error: &tokio_postgres::Error, user: &str, database: &str, is_encrypted: bool) -> Self {
        if let Some(error) = error.as_db_error() {
            return Self::of_server(error.code().code(), error.message(), user, database, is_encrypted);
        }
        if error.is_closed() {
            return Self::closed();
        }
        let Some(source) = error.source() else { return Self::not_postgres() };
        // The kind of the error is not public, and its text is constant.
        match error.to_string().as_str() {
            "authentication error" => {
                let text = format!("the authentication failed: {}", shown(&source.to_string()));
                return Self::new(text, Some(Fault::Login));
            }
            "error parsing response from server" => return Self::not_postgres(),
            _ => {}
        }
        match source.downcast_ref::<io::Error>() {
            Some(error) => Self::broken(error),
            None => Self::unable(shown(&source.to_string())),
        }
    }

    fn of_server(state: &str, message: &str, user: &str, database: &str, is_encrypted: bool) -> Self {
        let is_sqlstate = state.len() == 5 && state.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !is_sqlstate {
            return Self::not_postgres();
        }
        let (user, database) = (shown(user), shown(database));
        let text = match state {
            // The server's words, where they are in English.
            "57P03" if message.contains("starting up") => "is starting up (57P03)".into(),
            "57P03" if message.contains("shutting down") => "is shutting down (57P03)".into(),
            "57P03" if message.contains("in recovery mode") => "is in recovery after a crash (57P03)".into(),
            "57P03" => format!("takes no connections now (57P03): {}", shown(message)),
            "28P01" => format!("rejects the password of {user} (28P01)"),
            "28000" => {
                // pg_hba.conf may want the one or the other.
                let tls = if is_encrypted { "with TLS" } else { "without TLS" };
                format!("does not let {user} in {tls} (28000): {}", shown(message))
            }
            "3D000" => format!("has no database {database} (3D000)"),
            "53300" => "has no room for another connection (53300)".into(),
            _ => format!("answers with an error ({state}): {}", shown(message)),
        };
        Self { sqlstate: Some(state.to_owned()), ..Self::new(text, Some(Fault::of_sqlstate(state))) }
    }

    fn new(text: impl Into<String>, fault: Option<Fault>) -> Self {
        Self { text: text.into(), is_timeout: false, sqlstate: None, fault }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(state: &str, message: &str) -> String {
        Refusal::of_server(state, message, "app", "shop", false).text
    }

    #[test]
    fn an_sqlstate_is_told_in_words() {
        assert_eq!(of("57P03", "the database system is starting up"), "is starting up (57P03)");
        assert_eq!(of("57P03", "the database system is shutting down"), "is shutting down (57P03)");
        assert_eq!(
            of("57P03", "das Datenbanksystem startet"),
            r#"takes no connections now (57P03): "das Datenbanksystem startet""#
        );
        assert_eq!(of("28P01", "…"), r#"rejects the password of "app" (28P01)"#);
        assert_eq!(of("28000", "no entry"), r#"does not let "app" in without TLS (28000): "no entry""#);
        assert_eq!(of("3D000", "…"), r#"has no database "shop" (3D000)"#);
        assert_eq!(of("53300", "…"), "has no room for another connection (53300)");
        assert_eq!(of("XX000", "a\nb\u{1b}[31m"), r#"answers with an error (XX000): "a\nb\u{1b}[31m""#);
    }

    #[test]
    fn what_is_no_sqlstate_is_not_repeated() {
        for state in ["", "57p03", "57P03\n", "\u{1b}[31m", "280000"] {
            let refusal = Refusal::of_server(state, "x", "app", "shop", true);
            assert_eq!((refusal.text.as_str(), refusal.sqlstate), ("speaks no PostgreSQL", None));
        }
    }

    #[test]
    fn a_refusal_tells_how_long_it_was_waited() {
        let waited = Duration::from_micros(1_999_800);
        assert_eq!(Refusal::silent(waited, Stage::Connecting).text, "no answer within 2s");
        assert_eq!(
            Refusal::silent(waited, Stage::Connected).text,
            "no answer within 2s, though it accepts connections"
        );
    }
}
