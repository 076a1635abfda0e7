//! The names of members → addresses.

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

use crate::address::Host;
use crate::config::Config;
use crate::route::{self, Addresses};
use crate::sys::clock::Deadline;
use crate::sys::{names, thread};
use crate::topology::{Member, Topology};

/// The addresses of members that are given by name: those that SRV records have brought along (`given`), else those that
/// the system's name service has. A name that does not answer now keeps the address that it had (`known`).
///
/// The leader's name is waited for until the deadline, unless its address was known before; all others for
/// `hedge` at most: a replica's name must not hold up the writer.
pub(super) fn look_up(
    topology: &Topology,
    leader: Option<&Member>,
    config: &Config,
    (given, known): (&Addresses, &Addresses),
    deadline: Deadline,
) -> Addresses {
    let mut wanted: HashMap<String, u16> = HashMap::new();
    let mut addresses = Addresses::new();
    for member in &topology.members {
        let target = route::target(member, config);
        let Some(name) = target.host.name() else { continue };
        if let Some(address) = given.get(name) {
            addresses.insert(name.to_owned(), *address);
            continue;
        }
        wanted.entry(name.to_owned()).or_insert(target.port);
        addresses.extend(known.get(name).map(|address| (name.to_owned(), *address)));
    }
    let leader = leader.map(|leader| route::target(leader, config).host);
    let indispensable = leader.as_ref().and_then(Host::name);
    let is_enough = |addresses: &Addresses| indispensable.is_none_or(|name| addresses.contains_key(name));
    reach(wanted, addresses, is_enough, deadline, config.timing.hedge)
}

/// The addresses of `wanted`, by name and port, in addition to `addresses`. All are waited for during
/// `patience`, and for longer until they are enough.
pub(super) fn reach(
    wanted: HashMap<String, u16>,
    mut addresses: Addresses,
    is_enough: impl Fn(&Addresses) -> bool,
    deadline: Deadline,
    patience: Duration,
) -> Addresses {
    if wanted.is_empty() {
        return addresses;
    }
    let (sender, found) = mpsc::channel();
    for (name, port) in wanted {
        let sender = sender.clone();
        // Without a thread the name stays as it is, and if it is unknown the message of its route says so.
        let _ = thread::spawn("hadsn-member", move || {
            if let Ok(address) = names::reachable(&name, port, deadline, patience) {
                let _ = sender.send((name, address));
            }
        });
    }
    drop(sender);
    let soon = deadline.or_after(patience);
    loop {
        let until = if is_enough(&addresses) { soon } else { deadline };
        match found.recv_timeout(until.remaining().unwrap_or_default()) {
            Ok((name, address)) => addresses.insert(name, address),
            Err(_) => return addresses,
        };
    }
}
