//! Member + configuration + looked-up names → where to connect. Pure.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::address::{Endpoint, Host};
use crate::config::Config;
use crate::error::shown;
use crate::topology::Member;

/// Addresses of host names, as they were looked up with the topology.
pub type Addresses = HashMap<String, IpAddr>;

/// Where to connect to reach a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The host, for libpq's `host`: what a certificate is checked against.
    pub host: Host,
    /// The address of a host given by name, for libpq's `hostaddr`.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

impl Route {
    /// The way to `member`: its announced address, through `map` and `port`, if `allow_hosts` allows it.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn to(member: &Member, config: &Config, addresses: &Addresses) -> Result<Self, NoRoute> {
        Self::of(target(member, config), config, addresses)
    }

    /// The way to `target`, if `allow_hosts` allows it.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn of(target: Endpoint, config: &Config, addresses: &Addresses) -> Result<Self, NoRoute> {
        let address = match target.host.name() {
            None => None,
            Some(name) => addresses.get(name).copied(),
        };
        if let Some(allowed) = &config.allow_hosts
            && !allowed.contains(&target.host, address)
        {
            return Err(NoRoute::NotAllowed(target));
        }
        if target.host.name().is_some() && address.is_none() {
            return Err(NoRoute::Unresolved(target));
        }
        Ok(Self { host: target.host, address, port: target.port })
    }

    /// Its IP address and port.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        let address = match self.host {
            Host::Ip(ip) => Some(ip),
            Host::Name(_) => self.address,
        };
        Some(SocketAddr::new(address?, self.port))
    }
}

/// Where a member is to be reached, before names are looked up and rules applied. A port of the map
/// goes before `port`, which goes before the announced one.
pub fn target(member: &Member, config: &Config) -> Endpoint {
    let announced = &member.endpoint;
    let (host, mapped_port) = config.map.look_up(announced).unwrap_or((&announced.host, None));
    Endpoint { host: host.clone(), port: mapped_port.or(config.port).unwrap_or(announced.port) }
}

/// Where the PostgreSQL of a member itself is to be reached: `port` names a pooler.
pub fn server(member: &Member, config: &Config) -> Endpoint {
    let announced = &member.endpoint;
    let (host, mapped_port) = config.map.look_up(announced).unwrap_or((&announced.host, None));
    Endpoint { host: host.clone(), port: mapped_port.unwrap_or(announced.port) }
}

/// Why a member can't be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoute {
    /// `allow_hosts` does not list it.
    NotAllowed(Endpoint),
    /// Its host name has no address.
    Unresolved(Endpoint),
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(endpoint) => write!(f, "{} is outside allow_hosts", shown(&endpoint.to_string())),
            Self::Unresolved(endpoint) => {
                write!(f, "the host name {} could not be resolved", shown(&endpoint.host.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Role;

    fn route(announced: &str, options: &str) -> Result<Route, NoRoute> {
        let member = Member {
            name: "a".into(),
            endpoint: Endpoint::parse(announced, 5432).unwrap(),
            role: Role::Leader,
            state: "running".into(),
            timeline: None,
            lag: None,
            replayed: None,
            tags: Vec::new(),
            api_url: None,
        };
        let config = Config::parse(&format!("patroni://x/app?{options}")).unwrap();
        let addresses = Addresses::from([("db1".to_owned(), "10.9.9.9".parse().unwrap())]);
        Route::to(&member, &config, &addresses)
    }

    fn reached(announced: &str, options: &str) -> String {
        let route = route(announced, options).unwrap();
        format!("{} {:?} {}", route.host, route.address, route.port)
    }

    #[test]
    fn the_announced_address_is_the_default() {
        assert_eq!(reached("10.0.0.1:5433", ""), "10.0.0.1 None 5433");
        assert_eq!(reached("db1", ""), "db1 Some(10.9.9.9) 5432");
    }

    #[test]
    fn map_goes_before_port_goes_before_announced() {
        assert_eq!(reached("10.0.0.1", "port=6432"), "10.0.0.1 None 6432");
        assert_eq!(reached("10.0.0.1", "port=6432&map=10.0.0.1=db1"), "db1 Some(10.9.9.9) 6432");
        assert_eq!(reached("10.0.0.1", "port=6432&map=10.0.0.1=db1:1"), "db1 Some(10.9.9.9) 1");
    }

    #[test]
    fn a_host_outside_allow_hosts_is_never_connected_to() {
        assert!(route("10.0.0.1", "allow_hosts=10.0.0.0/8").is_ok());
        assert!(matches!(route("11.0.0.1", "allow_hosts=10.0.0.0/8"), Err(NoRoute::NotAllowed(_))));
        assert!(route("db1", "allow_hosts=10.0.0.0/8").is_ok());
        assert!(matches!(route("db2", "allow_hosts=10.0.0.0/8"), Err(NoRoute::NotAllowed(_))));
        assert!(matches!(route("db2", ""), Err(NoRoute::Unresolved(_))));
    }
}
