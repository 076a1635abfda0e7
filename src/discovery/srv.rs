//! DNS SRV records (RFC 2782): which hosts offer a service, and where they are.
//!
//! Nothing is kept between two calls: the caller decides how long an answer serves, by [`Records::lives_for`].

mod addresses;
mod ask;
mod order;
mod records;
mod servers;
mod sockets;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RecordType};

use crate::address::{Endpoint, Host};
use crate::error::shown;
use crate::sys::clock::Deadline;
use crate::sys::names::Failure;
use ask::{Asker, Lack};
use records::Candidate;

pub use order::order;
pub use servers::Servers;

/// What SRV records say of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// Who offers it, the lowest priority first; [`order`] puts them into the order in which to try them. Never empty,
    /// [`MAX_TARGETS`] at most, no host and port twice.
    pub targets: Vec<Target>,
    /// How long this may be used: the smallest TTL of all records that led here, aliases and addresses included, at
    /// least [`SHORTEST_LIFE`]. While a target has no address, [`UNSETTLED_LIFE`] at most.
    pub lives_for: Duration,
}

/// One who offers the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host, always a name, without the dot at the end, and the port of the record.
    pub endpoint: Endpoint,
    /// Its addresses, IPv4 first, otherwise as the name server listed them; empty where it told none in time.
    pub addresses: Vec<IpAddr>,
    /// Lower ones are tried first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
}

/// Asks `nameserver`, or else the name servers of `/etc/resolv.conf`, for the SRV records of `service`, the whole
/// name, such as `_patroni._tcp.pg.example.com`, and for the addresses of their targets.
///
/// The system's search list (resolver(5)) and `/etc/hosts` count only where no `nameserver` is given. Once one target has
/// an address the others are waited for only for `patience`. All of it happens on this thread, unless
/// `nameserver` is given by name. Ends by `deadline`.
///
/// # Errors
///
/// Why there are no targets, with the name of the service.
pub fn look_up(
    service: &str,
    nameserver: Option<&Endpoint>,
    patience: Duration,
    deadline: Deadline,
) -> Result<Records, Failure> {
    let servers = match nameserver {
        Some(endpoint) => Servers::at(endpoint, deadline),
        None => Servers::of_system(),
    };
    servers.map_err(|failure| about(service, failure))?.look_up(service, patience, deadline)
}

impl Servers {
    /// Like [`look_up`], from these servers.
    ///
    /// # Errors
    ///
    /// Why there are no targets, with the name of the service.
    pub fn look_up(&self, service: &str, patience: Duration, deadline: Deadline) -> Result<Records, Failure> {
        if deadline.remaining().is_none() {
            let failure = Failure { text: "no time left to ask the name server".to_owned(), is_late: true };
            return Err(about(service, failure));
        }
        // Made and dropped here, so that nothing of it ever meets a fork.
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| Failure { text: format!("no means to ask the name server: {e}"), is_late: false })
            .and_then(|runtime| runtime.block_on(self.find(service, patience, deadline)))
            .map_err(|failure| about(service, failure))
    }

    async fn find(&self, service: &str, patience: Duration, deadline: Deadline) -> Result<Records, Failure> {
        let asker = Arc::new(Asker::new(self));
        let found = self.search(&asker, service, deadline).await?;
        let candidates = records::read(&found.records)?;

        let names: Vec<Name> = candidates.iter().map(|candidate| candidate.name.clone()).collect();
        let mut search = addresses::Search::new(&names);
        search.take_hosts(&self.hosts);
        search.take_additionals(&found.additionals);
        search.ask(&asker, patience, deadline).await;

        let targets: Vec<Target> = candidates
            .into_iter()
            .map(|Candidate { target, name }| Target { addresses: search.addresses(&name), ..target })
            .collect();
        let is_settled = targets.iter().all(|target| !target.addresses.is_empty());
        let longest = if is_settled { Duration::MAX } else { UNSETTLED_LIFE };
        Ok(Records { targets, lives_for: found.ttl.min(search.ttl()).min(longest).max(SHORTEST_LIFE) })
    }

    /// Goes through the names that `service` may stand for, as resolver(5) does: a name that does not exist or has no such
    /// records, or whose servers fail, leads to the next; silence ends it.
    async fn search(&self, asker: &Asker, service: &str, deadline: Deadline) -> Result<ask::Found, Failure> {
        let mut most_telling: Option<Lack> = None;
        for name in self.names_for(service)? {
            let lack = match asker.records(&name, RecordType::SRV, deadline).await {
                Ok(found) => return Ok(found),
                Err(lack) => lack,
            };
            let is_final = lack.ends_search();
            if is_final || most_telling.as_ref().is_none_or(|known| lack.tells_more_than(known)) {
                most_telling = Some(lack);
            }
            if is_final {
                break;
            }
        }
        Err(most_telling.map_or_else(
            || Failure { text: "no DNS name is that long (RFC 1035)".to_owned(), is_late: false },
            Lack::into_failure,
        ))
    }
}

/// `failure`, with the service in front.
fn about(service: &str, failure: Failure) -> Failure {
    let name = if Host::parse(service).is_ok() { service.to_owned() } else { shown(service) };
    Failure { text: format!("{name}: {}", failure.text), ..failure }
}

/// How many targets of a service are used, those of the lowest priorities.
pub const MAX_TARGETS: usize = 256;

/// Records that live shorter are used for this long, so that the name server is not asked with every request.
pub const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// A target whose address is not known is looked for again after this time, however long its records live.
pub const UNSETTLED_LIFE: Duration = Duration::from_secs(10);
