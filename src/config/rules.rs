//! The address rules of a configuration: `map` and `allow_hosts`.

use std::net::IpAddr;

use crate::address::{Endpoint, Host};
use crate::error::shown;

/// Announced address to reachable one: NAT, containers, names that are in a certificate.
#[derive(Debug, Clone, Default)]
pub struct AddressMap(Vec<Mapping>);

#[derive(Debug, Clone)]
struct Mapping {
    host: Host,
    /// `None` maps every port of the host.
    port: Option<u16>,
    to_host: Host,
    /// `None` keeps the port.
    to_port: Option<u16>,
}

impl AddressMap {
    /// Reads `10.0.0.1=db1.example.com:5433,10.0.0.2:5432=10.1.0.2,…`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a fragment for a message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut mappings: Vec<Mapping> = Vec::new();
        for entry in text.split(',') {
            let (from, to) = entry.split_once('=').ok_or_else(|| {
                format!("{}: expected ANNOUNCED=REACHABLE, as in 10.0.0.1=db1.example.com:5433", shown(entry))
            })?;
            let (host, port) = Endpoint::split(from).map_err(|e| format!("{}: {e}", shown(from)))?;
            let (to_host, to_port) = Endpoint::split(to).map_err(|e| format!("{}: {e}", shown(to)))?;
            if mappings.iter().any(|m| m.host.is_same_as(&host) && m.port == port) {
                return Err(format!("{}: mapped twice", shown(from)));
            }
            mappings.push(Mapping { host, port, to_host, to_port });
        }
        Ok(Self(mappings))
    }

    /// Where another service than PostgreSQL is reached that is announced at `announced`: an entry that names its port says the
    /// port too, one that names only the host says the host.
    pub fn look_up_service(&self, announced: &Endpoint) -> Endpoint {
        let of_host = |m: &&Mapping| m.host.is_same_as(&announced.host);
        let exact = self.0.iter().filter(of_host).find(|m| m.port == Some(announced.port));
        let (host, port) = match exact {
            Some(mapping) => (&mapping.to_host, mapping.to_port),
            None => {
                (self.0.iter().filter(of_host).find(|m| m.port.is_none()).map_or(&announced.host, |m| &m.to_host), None)
            }
        };
        Endpoint { host: host.clone(), port: port.unwrap_or(announced.port) }
    }

    /// Where `announced` is reached: the host, and the port if the map names one. An entry with a
    /// port goes before one without.
    pub fn look_up(&self, announced: &Endpoint) -> Option<(&Host, Option<u16>)> {
        let of_host = |m: &&Mapping| m.host.is_same_as(&announced.host);
        self.0
            .iter()
            .filter(of_host)
            .find(|m| m.port == Some(announced.port))
            .or_else(|| self.0.iter().filter(of_host).find(|m| m.port.is_none()))
            .map(|m| (&m.to_host, m.to_port))
    }
}

/// Where members may be: networks and name suffixes.
#[derive(Debug, Clone)]
pub struct AllowHosts(Vec<Allowed>);

#[derive(Debug, Clone)]
enum Allowed {
    /// A network in CIDR notation (RFC 4632); a lone address is one of full length.
    Network(IpAddr, u8),
    /// A host name itself, or, written with a leading dot, every name below it. Lower case.
    Name(String),
}

impl AllowHosts {
    /// Reads `10.0.0.0/8,fd00::/8,.example.com,db1.example.net`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a fragment for a message.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(|entry| Allowed::parse(entry).map_err(|e| format!("{}: {e}", shown(entry))))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `host`, which was resolved to `address`, is one of them.
    pub fn contains(&self, host: &Host, address: Option<IpAddr>) -> bool {
        let address = match host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => address,
        };
        self.0.iter().any(|allowed| match allowed {
            Allowed::Network(network, prefix) => address.is_some_and(|address| in_network(address, *network, *prefix)),
            Allowed::Name(suffix) => host.name().is_some_and(|name| name_matches(name, suffix)),
        })
    }
}

impl Allowed {
    fn parse(entry: &str) -> Result<Self, &'static str> {
        if let Some((network, prefix)) = entry.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_| "not a network such as 10.0.0.0/8")?;
            let longest = full_length(network);
            let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
            return match prefix.parse::<u8>() {
                Ok(prefix) if digits && prefix <= longest => Ok(Self::Network(network, prefix)),
                _ => Err("the prefix length is a number up to 32 (IPv4) or 128 (IPv6)"),
            };
        }
        let name = entry.strip_prefix('.').unwrap_or(entry);
        match Host::parse(name)? {
            Host::Ip(ip) if name == entry => Ok(Self::Network(ip, full_length(ip))),
            Host::Ip(_) => Err("an address has no leading dot"),
            Host::Name(_) => Ok(Self::Name(entry.trim_end_matches('.').to_ascii_lowercase())),
        }
    }
}

fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn in_network(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address.to_canonical(), network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            let shift = 32 - u32::from(prefix.min(32));
            u32::from(a).checked_shr(shift) == u32::from(n).checked_shr(shift)
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            let shift = 128 - u32::from(prefix.min(128));
            u128::from(a).checked_shr(shift) == u128::from(n).checked_shr(shift)
        }
        _ => false,
    }
}

fn name_matches(name: &str, suffix: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if suffix.starts_with('.') { name.len() > suffix.len() && name.ends_with(suffix) } else { name == suffix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text, 5432).unwrap()
    }

    #[test]
    fn the_more_exact_mapping_wins() {
        let map = AddressMap::parse("10.0.0.1=db1.example.com:5433,10.0.0.1:6432=pool,[::1]=127.0.0.1").unwrap();
        let found = |text: &str| map.look_up(&endpoint(text)).map(|(h, p)| (h.to_string(), p));
        assert_eq!(found("10.0.0.1"), Some(("db1.example.com".into(), Some(5433))));
        assert_eq!(found("10.0.0.1:6432"), Some(("pool".into(), None)));
        assert_eq!(found("[::1]:1"), Some(("127.0.0.1".into(), None)));
        assert_eq!(found("10.0.0.2"), None);

        let map = AddressMap::parse("10.0.0.1=db1:5433,10.0.0.1:8008=nat:18008,10.0.0.2=db2:5433").unwrap();
        let api = |text: &str| map.look_up_service(&endpoint(text)).to_string();
        assert_eq!(api("10.0.0.1:8008"), "nat:18008");
        assert_eq!(api("10.0.0.2:8008"), "db2:8008");
        assert_eq!(api("10.0.0.3:8008"), "10.0.0.3:8008");
    }

    #[test]
    fn bad_maps_are_refused() {
        for bad in ["", "a", "a=", "=b", "a=b,", "a=b,a=c", "a=b=c", "a=b:0", "a b=c", "a=b;c"] {
            assert!(AddressMap::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn networks_and_names_are_told_apart() {
        let allow = AllowHosts::parse("10.0.0.0/8,fd00::/8,192.168.1.1,.example.com,DB1.example.net").unwrap();
        let contains = |text: &str| allow.contains(&Host::parse(text).unwrap(), None);
        for inside in ["10.1.2.3", "fd12::1", "192.168.1.1", "a.example.com", "A.B.Example.com.", "db1.example.net"] {
            assert!(contains(inside), "{inside}");
        }
        for outside in ["11.0.0.1", "fe80::1", "192.168.1.2", "example.com", "badexample.com", "x.db1.example.net"] {
            assert!(!contains(outside), "{outside}");
        }
        let named = Host::parse("db9").unwrap();
        assert!(allow.contains(&named, Some("10.0.0.9".parse().unwrap())));
        assert!(!allow.contains(&named, Some("11.0.0.9".parse().unwrap())));
        assert!(AllowHosts::parse("0.0.0.0/0").unwrap().contains(&Host::parse("1.2.3.4").unwrap(), None));
        assert!(AllowHosts::parse("::/0").unwrap().contains(&Host::parse("fd00::1").unwrap(), None));
    }

    #[test]
    fn bad_lists_are_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            ".10.0.0.1",
            "a b",
            ",",
            ".",
            "*.example.com",
        ] {
            assert!(AllowHosts::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
