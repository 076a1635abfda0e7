//! Route + configuration → a DSN for PDO or a conninfo string for libpq. Pure.
//!
//! Both are libpq's keyword/value text (PostgreSQL manual, 34.1.1.1). PDO separates with `;`, and
//! turns every `;` of the whole text into a space before libpq sees it, inside quotes too: a value
//! with a `;` can't be passed through PDO at all, and is refused.

use crate::config::Config;
use crate::error::Error;
use crate::route::Route;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Writing: libpq is to refuse a server that takes no writes.
    Write,
    /// Reading.
    Read,
}

/// `pgsql:host=…;port=…;dbname=…;…`: what `new PDO()` takes, without credentials. `database` goes before the
/// configured one.
///
/// # Errors
///
/// [`Kind::Config`](crate::error::Kind::Config) for a value with a `;`.
pub fn pdo(route: &Route, config: &Config, purpose: Purpose, database: Option<&str>) -> Result<String, Error> {
    let mut text = Text::new("pgsql:", ';');
    for (keyword, value) in keywords(route, config, purpose, database) {
        if value.contains(';') {
            return Err(Error::not_for_pdo(keyword, &value));
        }
        text.push(keyword, &value);
    }
    Ok(text.0)
}

/// `host=… port=… dbname=…`: what `pg_connect()` takes, with the credentials of the source.
pub fn conninfo(route: &Route, config: &Config, purpose: Purpose) -> String {
    let mut text = Text::new("", ' ');
    for (keyword, value) in keywords(route, config, purpose, None) {
        text.push(keyword, &value);
    }
    // PDO overwrites connect_timeout with its own attribute, so it stands only here. libpq counts in
    // whole seconds.
    let connect_timeout = config.timing.connect_timeout.as_millis().div_ceil(1000);
    text.push("connect_timeout", &connect_timeout.to_string());
    if let Some(user) = &config.credentials.user {
        text.push("user", user);
    }
    if let Some(password) = &config.credentials.password {
        text.push("password", password.reveal());
    }
    text.0
}

fn keywords<'a>(
    route: &Route,
    config: &'a Config,
    purpose: Purpose,
    database: Option<&'a str>,
) -> impl Iterator<Item = (&'static str, std::borrow::Cow<'a, str>)> {
    let host = ("host", route.host.to_string().into());
    let hostaddr = route.address.map(|address| ("hostaddr", address.to_string().into()));
    let port = ("port", route.port.to_string().into());
    let dbname = database.or(config.database.as_deref()).map(|database| ("dbname", database.into()));
    let session = (purpose == Purpose::Write).then(|| ("target_session_attrs", "read-write".into()));
    [Some(host), hostaddr, Some(port), dbname, session]
        .into_iter()
        .flatten()
        .chain(config.libpq.iter().map(|(keyword, value)| (*keyword, value.as_str().into())))
}

/// Keyword/value pairs as they grow.
struct Text(String, char, bool);

impl Text {
    fn new(prefix: &str, separator: char) -> Self {
        Self(prefix.to_owned(), separator, false)
    }

    fn push(&mut self, keyword: &str, value: &str) {
        if self.2 {
            self.0.push(self.1);
        }
        self.2 = true;
        self.0.push_str(keyword);
        self.0.push('=');
        push_quoted(&mut self.0, value);
    }
}

/// Appends `value`, in single quotes unless it is plain; `'` and `\` get a backslash.
fn push_quoted(out: &mut String, value: &str) {
    let plain = !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'/' | b',' | b'@' | b'+'));
    if plain {
        out.push_str(value);
        return;
    }
    out.push('\'');
    for c in value.chars() {
        if matches!(c, '\'' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Host;

    fn route(host: &str, address: Option<&str>) -> Route {
        Route { host: Host::parse(host).unwrap(), address: address.map(|a| a.parse().unwrap()), port: 5432 }
    }

    const TAIL: &str = "tcp_user_timeout=5000;keepalives_idle=10;keepalives_interval=3;keepalives_count=3";

    #[test]
    fn a_writer_dsn_asks_for_a_server_that_takes_writes() {
        let config = Config::parse("patroni://x/app").unwrap();
        assert_eq!(
            pdo(&route("10.0.0.1", None), &config, Purpose::Write, None).unwrap(),
            format!("pgsql:host=10.0.0.1;port=5432;dbname=app;target_session_attrs=read-write;{TAIL}")
        );
        assert_eq!(
            pdo(&route("db1", Some("::1")), &config, Purpose::Read, None).unwrap(),
            format!("pgsql:host=db1;hostaddr=::1;port=5432;dbname=app;{TAIL}")
        );
    }

    #[test]
    fn a_conninfo_string_holds_the_credentials() {
        let config = Config::parse("patroni://us%20er:p'w%5C@x?connect_timeout=2500ms").unwrap();
        assert_eq!(
            conninfo(&route("10.0.0.1", None), &config, Purpose::Read),
            format!(
                "host=10.0.0.1 port=5432 {} connect_timeout=3 user='us er' password='p\\'w\\\\'",
                TAIL.replace(';', " ")
            )
        );
    }

    #[test]
    fn values_are_quoted_or_refused() {
        for (database, quoted) in [
            ("a%20b", "'a b'"),
            ("a'b", "'a\\'b'"),
            ("a%5Cb", "'a\\\\b'"),
            ("a=b", "'a=b'"),
            ("a%0Ab", "'a\nb'"),
            ("a%22b", "'a\"b'"),
            ("%C3%A4", "'ä'"),
        ] {
            let config = Config::parse(&format!("patroni://x/{database}")).unwrap();
            let dsn = pdo(&route("10.0.0.1", None), &config, Purpose::Read, None).unwrap();
            assert!(dsn.contains(&format!(";dbname={quoted};")), "{dsn}");
        }
        let config = Config::parse("patroni://x/a;host=evil").unwrap();
        let error = pdo(&route("10.0.0.1", None), &config, Purpose::Read, None).unwrap_err();
        assert!(error.message().contains("dbname \"a;host=evil\""), "{error}");
        let conninfo = conninfo(&route("10.0.0.1", None), &config, Purpose::Read);
        assert!(conninfo.contains(" dbname='a;host=evil' "), "{conninfo}");
    }
}
