//! libpq's keywords that may be passed on into every DSN (PostgreSQL manual, 34.1.2 "Parameter Key Words").

use crate::error::Error;

/// The keywords, in the order in which they stand in a DSN.
pub(super) const KEYWORDS: [&str; 16] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "require_auth",
    "channel_binding",
    "passfile",
    "application_name",
    "options",
    "client_encoding",
    "gssencmode",
    "tcp_user_timeout",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
];

/// Those that are written when the source string does not say them.
const DEFAULTS: [(&str, &str); 4] =
    [("tcp_user_timeout", "5000"), ("keepalives_idle", "10"), ("keepalives_interval", "3"), ("keepalives_count", "3")];

/// `given` in order, with the defaults.
pub(super) fn complete(given: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let value_of = |keyword: &str| given.iter().find(|(k, _)| *k == keyword).map(|(_, v)| v.clone());
    KEYWORDS
        .iter()
        .filter_map(|keyword| {
            let default = || DEFAULTS.iter().find(|(k, _)| k == keyword).map(|(_, v)| (*v).to_owned());
            value_of(keyword).or_else(default).map(|value| (*keyword, value))
        })
        .collect()
}

/// Checks the value of a keyword.
pub(super) fn value(keyword: &str, value: &str) -> Result<String, Error> {
    let choices: &[&str] = match keyword {
        "sslmode" => &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "channel_binding" | "gssencmode" => &["disable", "prefer", "require"],
        _ => &[],
    };
    if !choices.is_empty() && !choices.contains(&value) {
        return Err(Error::option(keyword, value, format_args!("expected one of {}", choices.join(", "))));
    }
    if DEFAULTS.iter().any(|(numeric, _)| *numeric == keyword) {
        let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) && value.parse::<i32>().is_ok();
        if !is_number {
            return Err(Error::option(keyword, value, "expected a whole number without a unit, as libpq takes it"));
        }
    }
    if value.is_empty() {
        return Err(Error::option(keyword, value, "is empty: leave it out to have libpq's default"));
    }
    Ok(value.to_owned())
}
