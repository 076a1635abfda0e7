//! Which name servers are asked, and for which names: resolver(5), or the option `nameserver`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;

use crate::address::{Endpoint, Host};
use crate::error::shown;
use crate::sys::clock::Deadline;
use crate::sys::names::{self, Failure};

/// Whom to ask, and how.
#[derive(Debug)]
pub struct Servers {
    /// In the order in which they are asked.
    pub addresses: Vec<SocketAddr>,
    /// How long one of them may take before the next is asked beside it. It is less where the deadline is near.
    pub timeout: Duration,
    /// How often each is asked.
    pub attempts: u32,
    /// Domains to append to a name without a dot at the end.
    search: Vec<Name>,
    /// With fewer dots than this in it, a name is tried as it stands only after those of the search list.
    ndots: usize,
    /// Addresses that count before those of the name servers.
    pub(super) hosts: Hosts,
}

impl Servers {
    /// The one at `endpoint`. Every name is absolute there. If it is given by name, all of its addresses may be asked.
    ///
    /// # Errors
    ///
    /// Its own name has no address.
    pub fn at(endpoint: &Endpoint, deadline: Deadline) -> Result<Self, Failure> {
        let addresses = match &endpoint.host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => names::look_up(name, deadline).map_err(|failure| Failure {
                text: format!("the name server {}: {}", shown(name), failure.text),
                ..failure
            })?,
        };
        Ok(Self {
            addresses: addresses.into_iter().map(|ip| SocketAddr::new(ip, endpoint.port)).collect(),
            timeout: Duration::from_secs(1),
            attempts: 3,
            search: Vec::new(),
            ndots: 0,
            hosts: Hosts::default(),
        })
    }

    /// Those of `/etc/resolv.conf`, and `/etc/hosts`; both are read each time.
    ///
    /// # Errors
    ///
    /// The file makes no sense.
    pub fn of_system() -> Result<Self, Failure> {
        // Without the file the server is on this host: resolver(5).
        let mut servers = Self::parse(&fs::read("/etc/resolv.conf").unwrap_or_default())?;
        if let Ok(file) = File::open("/etc/hosts") {
            servers.read_hosts(file);
        }
        Ok(servers)
    }

    /// Reads a file like `/etc/resolv.conf`: `nameserver` (the first three), `search`, `domain`, and the options `ndots`,
    /// `timeout` and `attempts`.
    ///
    /// # Errors
    ///
    /// It makes no sense.
    pub fn parse(resolv_conf: &[u8]) -> Result<Self, Failure> {
        // A file without a name server is refused by the parser; resolver(5) says what it means.
        let (config, options) = parse_resolv_conf(resolv_conf)
            .or_else(|_| parse_resolv_conf([resolv_conf, b"\nnameserver 127.0.0.1\n"].concat()))
            .map_err(|e| Failure { text: format!("/etc/resolv.conf: {}", shown(&e.to_string())), is_late: false })?;
        let (domain, search, servers) = config.into_parts();
        Ok(Self {
            addresses: servers.iter().take(MAX_SERVERS).map(|server| SocketAddr::new(server.ip, DNS_PORT)).collect(),
            timeout: options.timeout.clamp(Duration::from_secs(1), LONGEST_TIMEOUT),
            attempts: u32::try_from(options.attempts).unwrap_or(MAX_ATTEMPTS).clamp(1, MAX_ATTEMPTS),
            search: if search.is_empty() { domain.into_iter().collect() } else { search },
            ndots: options.ndots,
            hosts: Hosts::default(),
        })
    }

    /// Adds the addresses of a file like `/etc/hosts`; what is unreadable of it is left out.
    pub fn read_hosts(&mut self, hosts: impl Read) {
        let _ = self.hosts.read_hosts_conf(hosts.take(MAX_HOSTS_BYTES));
    }

    /// The absolute names that `name` may stand for, in the order in which they are tried. None if all would be too long.
    pub(super) fn names_for(&self, name: &str) -> Result<Vec<Name>, Failure> {
        let name = Name::from_ascii(name)
            .map_err(|e| Failure { text: format!("not a DNS name: {}", shown(&e.to_string())), is_late: false })?;
        if name.is_fqdn() {
            return Ok(vec![name]);
        }
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut names: Vec<Name> = self.search.iter().filter_map(|end| name.clone().append_domain(end).ok()).collect();
        names.insert(if dots >= self.ndots { 0 } else { names.len() }, absolute);
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }
}

const DNS_PORT: u16 = 53;

/// `MAXNS` of resolver(5).
const MAX_SERVERS: usize = 3;

/// `RES_MAXRETRY` of resolver(5).
const MAX_ATTEMPTS: u32 = 5;

/// `RES_MAXRETRANS` of resolver(5).
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of `/etc/hosts` is read.
const MAX_HOSTS_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(resolv_conf: &str, name: &str) -> Vec<String> {
        let servers = Servers::parse(resolv_conf.as_bytes()).unwrap();
        servers.names_for(name).unwrap().iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn a_resolv_conf_is_read() {
        let servers = Servers::parse(
            b"# a comment\nnameserver 10.0.0.1\nnameserver fd00::1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n\
              search a.test b.test\noptions ndots:2 timeout:3 attempts:4 rotate unknown\n",
        )
        .unwrap();
        let addresses: Vec<String> = servers.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"]);
        assert_eq!((servers.timeout, servers.attempts, servers.ndots), (Duration::from_secs(3), 4, 2));
    }

    #[test]
    fn an_empty_resolv_conf_means_this_host() {
        for text in ["", "search a.test\n", "nameserver\n", "\0\u{fffd}\n"] {
            let servers = Servers::parse(text.as_bytes()).unwrap();
            assert_eq!(servers.addresses, ["127.0.0.1:53".parse().unwrap()], "{text:?}");
            assert!(servers.attempts > 0 && servers.timeout > Duration::ZERO);
        }
        assert_eq!(names("search a.test\n", "x"), ["x.a.test.", "x."]);
    }

    #[test]
    fn the_search_list_is_used_as_resolver_5_says() {
        let search = "nameserver 10.0.0.1\nsearch a.test b.test\n";
        assert_eq!(
            names(search, "_patroni._tcp.pg"),
            ["_patroni._tcp.pg.", "_patroni._tcp.pg.a.test.", "_patroni._tcp.pg.b.test."]
        );
        assert_eq!(names(search, "_patroni._tcp.pg."), ["_patroni._tcp.pg."]);
        let many_dots = format!("{search}options ndots:5\n");
        assert_eq!(
            names(&many_dots, "_patroni._tcp.pg"),
            ["_patroni._tcp.pg.a.test.", "_patroni._tcp.pg.b.test.", "_patroni._tcp.pg."]
        );
        assert_eq!(names("nameserver 10.0.0.1\ndomain c.test\n", "x.y"), ["x.y.", "x.y.c.test."]);
    }

    #[test]
    fn names_that_no_dns_has_are_refused() {
        let servers = Servers::parse(b"").unwrap();
        for name in [&"a.".repeat(200), &"a".repeat(64), "a..b", "\n", "ä.example"] {
            assert!(servers.names_for(name).is_err(), "{name:?} was accepted");
        }
    }
}
