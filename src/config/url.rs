//! One source URL, split and percent-decoded (RFC 3986), without knowing what the options mean.
//!
//! A password with a raw `/`, `?` or `@` in it moves the borders between the parts. Such a URL is
//! refused without showing any of its text: what looks like a port may be half a password.

use percent_encoding::percent_decode_str;

use super::{Credentials, Hosts, Secret, SourceKind};
use crate::address::{Endpoint, Host};
use crate::error::{Error, shown};

/// A source URL in its parts.
#[derive(Debug)]
pub(super) struct SourceUrl {
    pub(super) kind: SourceKind,
    pub(super) credentials: Credentials,
    pub(super) hosts: Hosts,
    pub(super) database: Option<String>,
    pub(super) options: Vec<(String, String)>,
    /// The URL without credentials.
    pub(super) display: String,
}

/// What a scheme says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scheme {
    kind: SourceKind,
    /// The host is the name of SRV records (RFC 2782).
    is_srv: bool,
}

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        let (name, is_srv) = match text.strip_suffix("+srv") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let kind = match name {
            "patroni" => SourceKind::Patroni { is_tls: false },
            "patroni+https" => SourceKind::Patroni { is_tls: true },
            "postgresql" => SourceKind::Postgresql,
            _ => return None,
        };
        Some(Self { kind, is_srv })
    }

    fn default_port(self) -> u16 {
        match self.kind {
            SourceKind::Patroni { .. } => PATRONI_PORT,
            SourceKind::Postgresql => POSTGRESQL_PORT,
        }
    }

    /// The first labels of the name of its SRV records.
    fn service(self) -> &'static str {
        match self.kind {
            SourceKind::Patroni { .. } => "_patroni._tcp",
            SourceKind::Postgresql => "_postgresql._tcp",
        }
    }
}

impl SourceUrl {
    /// Splits the URL that stands at `position` (1 is the first) of a source string.
    pub(super) fn parse(text: &str, position: usize) -> Result<Self, Error> {
        let bad = |reason: &str| Error::source(position, reason);

        let (scheme_text, rest) = text.split_once("://").ok_or_else(|| {
            bad("expected a URL such as patroni://10.0.0.1,10.0.0.2/app; white space separates sources, \
                 so write a space in a password as %20")
        })?;
        let scheme = Scheme::parse(scheme_text).ok_or_else(|| {
            let known = "patroni, patroni+https, patroni+srv, patroni+https+srv, postgresql and postgresql+srv";
            // Any other text may be what a raw space has cut off a password.
            match LIKELY_SCHEMES.iter().find(|likely| scheme_text.eq_ignore_ascii_case(likely)) {
                Some(_) => bad(&format!("unknown scheme {}: the schemes are {known}", shown(scheme_text))),
                None => bad(&format!("unknown scheme: the schemes are {known}")),
            }
        })?;
        if text.contains('#') {
            return Err(bad("a # has no meaning here: write it as %23 in a password or a value"));
        }

        let (address, query) = match rest.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = address.split_once('/').unwrap_or((address, ""));
        // What stands in front of such an @ may be a password, and where the parts begin is not known.
        if path.contains('@') || query.is_some_and(|query| query.contains('@')) {
            return Err(bad(
                "an @ stands behind the hosts: write / as %2F, ? as %3F and @ as %40 in user and password, \
                 and @ as %40 in a value",
            ));
        }
        let (userinfo, hosts_text) = match authority.rsplit_once('@') {
            Some((userinfo, _)) if userinfo.contains('@') => {
                return Err(bad("more than one @ in front of the hosts: in user and password write @ as %40"));
            }
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, authority),
        };
        if hosts_text.is_empty() {
            return Err(bad("no host: name the hosts, separated by commas"));
        }
        let hosts = parse_hosts(hosts_text, scheme).map_err(|reason| bad(&reason))?;

        if path.contains('/') {
            return Err(bad("more than one /: only the database follows the hosts; write a / in its name as %2F"));
        }
        let database = match path {
            "" => None,
            path => Some(decode(path).map_err(|e| bad(&format!("database {}: {e}", shown(path))))?),
        };
        let options = split_query(query.unwrap_or(""))?;
        let display = display(scheme_text, hosts_text, path, query.unwrap_or(""));
        let credentials = match userinfo {
            None => Credentials::default(),
            Some(userinfo) => split_userinfo(userinfo).map_err(|e| bad(&e))?,
        };
        Ok(Self { kind: scheme.kind, credentials, hosts, database, options, display })
    }
}

fn parse_hosts(text: &str, scheme: Scheme) -> Result<Hosts, String> {
    if scheme.is_srv {
        return service_name(text, scheme).map(Hosts::Srv).map_err(|e| format!("host {}: {e}", shown_host(text)));
    }
    let endpoint = |host: &str| {
        Endpoint::parse(host, scheme.default_port()).map_err(|e| format!("host {}: {e}", shown_host(host)))
    };
    text.split(',').map(endpoint).collect::<Result<_, _>>().map(Hosts::Listed)
}

/// The name under which SRV records are looked up; one that begins with `_` stands as it is.
fn service_name(text: &str, scheme: Scheme) -> Result<String, &'static str> {
    if text.contains(',') {
        return Err("SRV records are looked up under one name: write one, or list the hosts without +srv");
    }
    match Endpoint::split(text)? {
        (_, Some(_)) => Err("SRV records carry the ports: leave the port out"),
        (Host::Ip(_), None) => Err("an address has no SRV records: name a domain, or leave +srv out"),
        (Host::Name(name), None) if name.starts_with('_') => Ok(name),
        (Host::Name(name), None) => {
            let name = format!("{}.{name}", scheme.service());
            // The labels in front may make it too long.
            Host::parse(&name).map(|_| name)
        }
    }
}

fn split_userinfo(userinfo: &str) -> Result<Credentials, String> {
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    if user.is_empty() {
        return Err("the user in front of the @ is empty".into());
    }
    let user = decode(user).map_err(|e| format!("the user: {e}"))?;
    let password = password.map(decode).transpose().map_err(|e| format!("the password: {e}"))?;
    Ok(Credentials { user: Some(user), password: password.map(Secret::new) })
}

fn split_query(query: &str) -> Result<Vec<(String, String)>, Error> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    // What stands behind a password may be cut off it by a raw &.
    let mut is_after_password = false;
    query
        .split('&')
        .map(|pair| {
            let discreet = |error: Error| if is_after_password { error.discreet() } else { error };
            let (name, value) = pair.split_once('=').ok_or_else(|| discreet(Error::no_value(pair)))?;
            let value = decode(value).map_err(|e| match SECRET_OPTIONS.contains(&name) {
                true => Error::secret_option(name, e),
                false => discreet(Error::option(name, value, e)),
            })?;
            is_after_password |= name == PASSWORD_OPTION;
            Ok((name.to_owned(), value))
        })
        .collect()
}

/// A host for a message: without its port, if that is none. It is half a password when the @ was forgotten.
fn shown_host(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if !host.starts_with('[') && !port.bytes().all(|b| b.is_ascii_digit()) => shown(name),
        _ => shown(host),
    }
}

/// Percent-decodes; `+` stays a plus.
fn decode(text: &str) -> Result<String, &'static str> {
    let bytes = text.as_bytes();
    let well_formed = bytes.iter().enumerate().all(|(i, b)| {
        *b != b'%' || matches!(bytes.get(i + 1..i + 3), Some(hex) if hex.iter().all(u8::is_ascii_hexdigit))
    });
    if !well_formed {
        return Err("a % is followed by two hexadecimal digits; write the character itself as %25");
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "the percent-encoded bytes are not UTF-8")?;
    if decoded.contains('\0') {
        return Err("contains a NUL byte: remove it");
    }
    Ok(decoded.into_owned())
}

fn display(scheme: &str, hosts: &str, path: &str, query: &str) -> String {
    let mut out = format!("{scheme}://{hosts}");
    if !path.is_empty() {
        out.push('/');
        out.push_str(path);
    }
    let public = query.split('&').filter(|pair| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        !name.is_empty() && !SECRET_OPTIONS.contains(&name)
    });
    for (i, pair) in public.enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
    out
}

/// The option that holds a password.
pub(super) const PASSWORD_OPTION: &str = "patroni_password";

/// Options that are left out wherever a source is shown.
pub(super) const SECRET_OPTIONS: [&str; 2] = ["patroni_user", PASSWORD_OPTION];

/// What people write instead: shown when it is refused.
const LIKELY_SCHEMES: [&str; 10] =
    ["patroni", "postgresql", "postgres", "pgsql", "http", "https", "etcd", "srv", "dns", "jdbc"];

/// Where Patroni's REST API listens unless it is told otherwise (Patroni, `restapi.listen`).
const PATRONI_PORT: u16 = 8008;

/// Where PostgreSQL listens (PostgreSQL manual, `port`).
const POSTGRESQL_PORT: u16 = 5432;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SourceUrl, Error> {
        SourceUrl::parse(text, 1)
    }

    #[test]
    fn a_url_is_split_and_decoded() {
        let url =
            parse("patroni://us%65r:p%40ss%2F%3A+w@a,b:1,[::1]:2/my%20db?x=1%26&map=a=b&patroni_password=s").unwrap();
        assert_eq!(url.credentials.user.as_deref(), Some("user"));
        assert_eq!(url.credentials.password.as_ref().unwrap().reveal(), "p@ss/:+w");
        assert_eq!(hosts(&url), ["a:8008", "b:1", "[::1]:2"]);
        assert_eq!(url.database.as_deref(), Some("my db"));
        assert_eq!(url.options[0], ("x".to_owned(), "1&".to_owned()));
        assert_eq!(url.options[1], ("map".to_owned(), "a=b".to_owned()));
        assert_eq!(url.display, "patroni://a,b:1,[::1]:2/my%20db?x=1%26&map=a=b");
    }

    fn hosts(url: &SourceUrl) -> Vec<String> {
        match &url.hosts {
            Hosts::Listed(endpoints) => endpoints.iter().map(ToString::to_string).collect(),
            Hosts::Srv(name) => vec![format!("SRV {name}")],
        }
    }

    #[test]
    fn every_scheme_has_its_kind_its_port_and_its_service() {
        let patroni = |is_tls| SourceKind::Patroni { is_tls };
        for (text, kind, host) in [
            ("patroni://pg", patroni(false), "pg:8008"),
            ("patroni+https://pg", patroni(true), "pg:8008"),
            ("postgresql://pg", SourceKind::Postgresql, "pg:5432"),
            ("patroni+srv://pg.example.com", patroni(false), "SRV _patroni._tcp.pg.example.com"),
            ("patroni+https+srv://pg.example.com.", patroni(true), "SRV _patroni._tcp.pg.example.com."),
            ("postgresql+srv://u:p@pg/app", SourceKind::Postgresql, "SRV _postgresql._tcp.pg"),
            ("postgresql+srv://_x._udp.pg/app", SourceKind::Postgresql, "SRV _x._udp.pg"),
        ] {
            let url = parse(text).unwrap();
            assert_eq!((url.kind, hosts(&url)), (kind, vec![host.to_owned()]), "{text}");
        }
    }

    #[test]
    fn srv_records_are_looked_up_under_one_name() {
        for (text, reason) in [
            ("patroni+srv://a,b", "one name"),
            ("patroni+srv://a:8008", "leave the port out"),
            ("patroni+srv://10.0.0.1", "an address has no SRV records"),
            ("patroni+srv://[::1]", "an address has no SRV records"),
            ("patroni+srv://a b", "holds only letters"),
            (&format!("patroni+srv://{}x", "a.".repeat(122)), "253 characters"),
            ("postgresql+https://a", "unknown scheme"),
            ("patroni+srv+https://a", "unknown scheme"),
            ("+srv://a", "unknown scheme"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn no_part_of_a_misplaced_password_is_shown() {
        for text in [
            "patroni://u:hunter2/x@host/app",
            "patroni://u:hunter2?x@host/app",
            "patroni://u:hunter2?x=1@host/app",
            "patroni://u:hunter2#x@host/app",
            "patroni://u:hunter2@x@host/app",
            "patroni://u:hunter2%@host/app",
            "patroni://u:hunter2%00@host/app",
            "patroni://u:hunter2@ho st/app",
            "u:hunter2://x@host/app",
            "hunter2@host/app",
            "patroni://:hunter2@host/app",
            "patroni://host/app?patroni_password=hunter2%",
            "patroni://host/app?patroni_user=u&patroni_password=s3&hunter2",
            "patroni://host/app?patroni_user=u&patroni_password=s3&x=%&hunter2%",
            "patroni://u:hunter2/app",
            "patroni://u:hunter2,x/app",
            "patroni://u:1?hunter2&x@h1/app",
            "patroni://u:1?hunter2=@h1",
            "patroni://u:1?ttl=hunter2@h1/app",
            "patroni://u:1?application_name=hunter2@h1/app",
            "patroni://u:a@hunter2?x@h1/app",
            "patroni://u:1/hunter2%?x@h1/app",
            "hunter2://@h1/app",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.message().contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn malformed_urls_are_refused() {
        for text in [
            "",
            "patroni",
            "patroni:",
            "patroni:/a",
            "patroni://",
            "patroni:///app",
            "patroni://@a",
            "patroni://u@",
            "http://a",
            "PATRONI://a",
            "postgres://a",
            "patroni://a,",
            "patroni://,a",
            "patroni://a,,b",
            "patroni://a:0",
            "patroni://a:65536",
            "patroni://a:x",
            "patroni://::1",
            "patroni://[::1",
            "patroni://a b",
            "patroni://a/b/c",
            "patroni://a/%",
            "patroni://a/%f",
            "patroni://a/%ff",
            "patroni://a/%00",
            "patroni://a/b?x",
            "patroni://a/b?x=1&",
            "patroni://a/b?&x=1",
            "patroni://a/b?x=%2",
            "patroni://a#b",
            "patroni://a/b?x=%00",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
