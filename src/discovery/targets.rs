//! A source → the endpoints to ask: those it lists, or those that its SRV records list.

use std::net::IpAddr;
use std::time::Duration;

use super::srv;
use crate::address::Endpoint;
use crate::config::{Config, Hosts, Source};
use crate::error::shown;
use crate::sys::clock::{self, Deadline};
use crate::sys::random;

/// An endpoint to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    /// The addresses of its host, if they are known already.
    pub(super) addresses: Vec<IpAddr>,
}

impl Target {
    /// Whether it is the one at `endpoint`.
    pub(super) fn is_at(&self, endpoint: &Endpoint) -> bool {
        let host = &endpoint.host;
        let has_address = matches!(host, crate::address::Host::Ip(ip) if self.addresses.contains(ip));
        self.endpoint.port == endpoint.port && (has_address || self.endpoint.host.is_same_as(host))
    }
}

/// The targets of one SRV name, as they are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    targets: Vec<Target>,
    /// Until when they are good, by [`clock::boottime`].
    expire_at: Duration,
}

impl Records {
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }
}

/// The endpoints of `source`, in the order in which they are to be asked. `records` are those that were good
/// the last time; while the name server has none they stay in use.
///
/// # Errors
///
/// Why there are none, as a fragment for a message.
pub(super) fn of(
    source: &Source,
    config: &Config,
    records: &mut Option<Records>,
    deadline: Deadline,
) -> Result<Vec<Target>, String> {
    let name = match &source.hosts {
        Hosts::Listed(endpoints) => {
            let mut targets: Vec<Target> = Vec::with_capacity(endpoints.len());
            for endpoint in endpoints {
                // One that is named twice has one voice.
                if !targets.iter().any(|target| target.is_at(endpoint)) {
                    targets.push(Target { endpoint: endpoint.clone(), addresses: Vec::new() });
                }
            }
            return Ok(targets);
        }
        Hosts::Srv(name) => name,
    };
    let now = clock::boottime();
    if let Some(records) = records.as_ref().filter(|records| now < records.expire_at) {
        return Ok(records.targets.clone());
    }
    let patience = match &records {
        // There is something to go on with: a name server that is down must not take all the time.
        Some(_) => deadline.or_after(config.timing.hedge),
        None => deadline,
    };
    // Once one address is known the others may take some time, but not all of it.
    let for_addresses = config.timing.hedge.max(config.timing.timeout / 4);
    let found = srv::look_up(name, config.nameserver.as_ref(), for_addresses, patience)
        .map_err(|failure| failure.text)
        .and_then(|found| Ok((found.lives_for, allowed(name, found, config)?)));
    match (found, records.as_mut()) {
        (Ok((lives_for, targets)), _) => {
            *records = Some(Records { targets: targets.clone(), expire_at: now + lives_for.min(LONGEST_LIFE) });
            Ok(targets)
        }
        (Err(_), Some(old)) => {
            // Not asked again at once.
            old.expire_at = now + srv::SHORTEST_LIFE;
            Ok(old.targets.clone())
        }
        (Err(reason), None) => Err(reason),
    }
}

/// The targets that `allow_hosts` allows, in the order of RFC 2782: whoever answers for the name server must not
/// choose where passwords are sent.
fn allowed(name: &str, found: srv::Records, config: &Config) -> Result<Vec<Target>, String> {
    let mut targets = found.targets;
    srv::order(&mut targets, |bound| random::number() as u64 % (bound + 1));
    let count = targets.len();
    let targets: Vec<Target> = targets
        .into_iter()
        .filter_map(|target| {
            let addresses = match &config.allow_hosts {
                None => target.addresses,
                Some(allowed) if target.addresses.is_empty() => {
                    if !allowed.contains(&target.endpoint.host, None) {
                        return None;
                    }
                    Vec::new()
                }
                Some(allowed) => {
                    let is_allowed = |ip: &IpAddr| allowed.contains(&target.endpoint.host, Some(*ip));
                    let addresses: Vec<IpAddr> = target.addresses.into_iter().filter(is_allowed).collect();
                    if addresses.is_empty() {
                        return None;
                    }
                    addresses
                }
            };
            Some(Target { endpoint: target.endpoint, addresses })
        })
        .collect();
    if targets.is_empty() {
        return Err(format!("{}: all {count} targets are outside allow_hosts", shown(name)));
    }
    if config.nameserver.is_none() {
        return Ok(targets);
    }
    // What that name server does not know the system's need not be asked for.
    let (known, unknown): (Vec<Target>, Vec<Target>) =
        targets.into_iter().partition(|target| !target.addresses.is_empty());
    match unknown.first() {
        Some(target) if known.is_empty() => {
            let count = unknown.len();
            Err(format!("{}: no address of its {count} targets, the first is {}", shown(name), target.endpoint))
        }
        _ => Ok(known),
    }
}

/// Records that live longer are looked up again all the same.
const LONGEST_LIFE: Duration = Duration::from_secs(300);
