//! Host names, IP addresses and ports: parsed once, so that nothing else can get into a DSN.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host: an IP address, or a name that is still to be resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IP address, written without brackets.
    Ip(IpAddr),
    /// A host name: letters, digits, `-`, `_` and dots (RFC 1123 section 2.1, with `_` as used in practice).
    Name(String),
}

impl Host {
    /// Reads a host without brackets: `10.0.0.1`, `fd00::1` or `db1.example.com`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a fragment for a message.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(IpAddr::V4(ip)));
        }
        if text.contains(':') {
            return text.parse::<Ipv6Addr>().map(|ip| Self::Ip(IpAddr::V6(ip))).map_err(|_| "not an IPv6 address");
        }
        check_name(text)?;
        Ok(Self::Name(text.to_owned()))
    }

    /// Whether it is the same host: names do not depend on case or on the dot at the end (RFC 4343).
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(other)) => {
                let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                plain(one) == plain(other)
            }
            _ => self == other,
        }
    }

    /// The name, if it has to be looked up.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Ip(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where.
    pub host: Host,
    /// TCP port, never 0.
    pub port: u16,
}

impl Endpoint {
    /// Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a fragment for a message.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, &'static str> {
        let (host, port) = Self::split(text)?;
        Ok(Self { host, port: port.unwrap_or(default_port) })
    }

    /// Like [`parse`](Self::parse), for a place without a default port.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a fragment for a message.
    pub fn split(text: &str) -> Result<(Host, Option<u16>), &'static str> {
        if text.is_empty() {
            return Err("the host is empty");
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or("the ] of [ is missing")?;
            let ip = inside.parse::<Ipv6Addr>().map_err(|_| "only an IPv6 address stands in brackets")?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err("only :port may follow the ]"),
            };
            (Host::Ip(IpAddr::V6(ip)), port)
        } else {
            let (host, port) = match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err("an IPv6 address stands in brackets, as in [fd00::1]:5432");
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            (Host::parse(host)?, port)
        };
        Ok((host, port.map(parse_port).transpose()?))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Reads a TCP port, 1 to 65535, digits only.
///
/// # Errors
///
/// What is wrong with it, as a fragment for a message.
pub fn parse_port(text: &str) -> Result<u16, &'static str> {
    const EXPECTED: &str = "a port is a number from 1 to 65535";
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EXPECTED);
    }
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(EXPECTED),
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let labels = name.strip_suffix('.').unwrap_or(name);
    if labels.is_empty() {
        return Err("the host is empty");
    }
    if name.len() > 253 {
        return Err("a host name has 253 characters at most (RFC 1035)");
    }
    if !name.is_ascii() {
        return Err("write an international name in its ASCII form (xn--…)");
    }
    for label in labels.split('.') {
        if label.is_empty() {
            return Err("the host name has an empty label");
        }
        if label.len() > 63 {
            return Err("a label of a host name has 63 characters at most (RFC 1035)");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a label of a host name neither begins nor ends with -");
        }
        if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err("a host name holds only letters, digits, -, _ and dots");
        }
    }
    let last = labels.rsplit('.').next().unwrap_or(labels);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err("not an IPv4 address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read_and_written_back() {
        for (text, written) in [
            ("10.0.0.1", "10.0.0.1:8008"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("db-1.example.com:65535", "db-1.example.com:65535"),
            ("db.", "db.:8008"),
            ("_sip.example", "_sip.example:8008"),
            ("[::1]", "[::1]:8008"),
            ("[fd00::1]:5433", "[fd00::1]:5433"),
        ] {
            assert_eq!(Endpoint::parse(text, 8008).map(|e| e.to_string()), Ok(written.to_owned()));
        }
    }

    #[test]
    fn names_are_compared_as_dns_does() {
        let same = |one: &str, other: &str| Host::parse(one).unwrap().is_same_as(&Host::parse(other).unwrap());
        assert!(same("DB1.Example.com.", "db1.example.com") && same("10.0.0.1", "10.0.0.1"));
        assert!(!same("db1", "db2") && !same("10.0.0.1", "10.0.0.2"));
    }

    #[test]
    fn bad_hosts_and_ports_are_refused() {
        for text in [
            "",
            ":",
            ":1",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a;b",
            "a=b",
            "a'b",
            "a\\b",
            "a\nb",
            "a\0b",
            "ä.example",
            "256.1.1.1",
            "10.0.0",
            "1",
            "::1",
            "[::1",
            "[10.0.0.1]",
            "[x]",
            "[::1]5",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:1x",
            "a: 1",
            "a:1:2",
            "a/b",
        ] {
            assert!(Endpoint::parse(text, 1).is_err(), "{text:?} was accepted");
        }
        assert!(Endpoint::parse(&"a".repeat(64), 1).is_err());
        assert!(Endpoint::parse(&"a.".repeat(130), 1).is_err());
    }
}
