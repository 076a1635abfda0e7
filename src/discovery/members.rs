//! The names of members → addresses.

use std::net::IpAddr;
use std::sync::mpsc;
use std::time::Duration;

use super::race::race;
use crate::address::Host;
use crate::config::Config;
use crate::route::{self, Addresses};
use crate::sys::clock::Deadline;
use crate::sys::names;
use crate::topology::{Member, Topology};

/// The addresses of members that are given by name: those that SRV records have brought along (`given`), else those that
/// the system's name service has. A name that does not answer now keeps the address that it had (`known`).
///
/// The leader's name is waited for until the deadline, or for `patience` if its address was known before; all others for
/// `hedge` at most: a replica's name must not hold up the writer.
pub(super) fn look_up(
    topology: &Topology,
    leader: Option<&Member>,
    config: &Config,
    (given, known): (&Addresses, &Addresses),
    patience: Duration,
    deadline: Deadline,
) -> Addresses {
    let mut wanted = Wanted::default();
    let mut addresses = Addresses::new();
    // The leader first: there is a limit.
    for member in leader.into_iter().chain(&topology.members) {
        let target = route::target(member, config);
        let Some(name) = target.host.name() else { continue };
        if let Some(address) = given.get(name) {
            addresses.insert(name.to_owned(), *address);
            continue;
        }
        wanted.add(name, target.port);
        addresses.extend(known.get(name).map(|address| (name.to_owned(), *address)));
    }
    let leader = leader.map(|leader| route::target(leader, config).host);
    let leaders_name = leader.as_ref().and_then(Host::name).filter(|name| !given.contains_key(*name));
    let is_known = leaders_name.is_some_and(|name| addresses.contains_key(name));
    let mut found = Addresses::new();
    let answers = wanted.reach(config, deadline);
    let (soon, late) = (deadline.or_after(config.timing.hedge), deadline.or_after(patience));
    loop {
        let until = match leaders_name {
            Some(name) if !found.contains_key(name) => {
                if is_known {
                    late
                } else {
                    deadline
                }
            }
            _ => soon,
        };
        match answers.recv_timeout(until.remaining().unwrap_or_default()) {
            Ok((_, Some((name, address)))) => found.insert(name, address),
            Ok((_, None)) => continue,
            Err(_) => break,
        };
    }
    addresses.extend(found);
    addresses
}

/// The addresses of `wanted`, in addition to `addresses`. All are waited for during `hedge`, and until the deadline as long as there is
/// none at all.
pub(super) fn reach(wanted: Wanted, mut addresses: Addresses, config: &Config, deadline: Deadline) -> Addresses {
    let answers = wanted.reach(config, deadline);
    let soon = deadline.or_after(config.timing.hedge);
    loop {
        let until = if addresses.is_empty() { deadline } else { soon };
        match answers.recv_timeout(until.remaining().unwrap_or_default()) {
            Ok((_, answer)) => addresses.extend(answer),
            Err(_) => return addresses,
        }
    }
}

/// Names to look up, each with the port that is to be reached there.
#[derive(Default)]
pub(super) struct Wanted(Vec<(String, u16)>);

impl Wanted {
    /// Adds a name, unless it is there already or there are too many.
    pub(super) fn add(&mut self, name: &str, port: u16) {
        if self.0.len() < MAX_NAMES && !self.0.iter().any(|(known, _)| known == name) {
            self.0.push((name.to_owned(), port));
        }
    }

    /// Looks them up beside each other.
    fn reach(self, config: &Config, deadline: Deadline) -> mpsc::Receiver<(usize, Option<(String, IpAddr)>)> {
        let (allowed, patience) = (config.allow_hosts.clone(), config.timing.hedge);
        race("hadsn-member", self.0.len(), move |number| {
            let (name, port) = self.0.get(number)?;
            let host = Host::parse(name).ok()?;
            let is_allowed = |ip| allowed.as_ref().is_none_or(|allowed| allowed.contains(&host, Some(ip)));
            let address = names::reachable(name, *port, is_allowed, deadline, patience).ok()?;
            Some((name.clone(), address))
        })
    }
}

/// How many names of one answer are looked up.
const MAX_NAMES: usize = 256;
