//! The addresses of the targets, all looked up beside each other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{DNSClass, Name, Record, RecordType};
use tokio::task::JoinSet;

use super::ask::{self, Asker};
use crate::sys::clock::Deadline;

/// Names, and the addresses that are known of them.
pub(super) struct Search {
    entries: Vec<Entry>,
    /// Where each name stands among them.
    numbers: HashMap<Name, usize>,
    ttl: Duration,
}

struct Entry {
    name: Name,
    addresses: Vec<IpAddr>,
    /// What is still to be asked about it.
    missing: Vec<RecordType>,
    /// Whether `/etc/hosts` has said it all.
    is_settled: bool,
}

impl Search {
    pub(super) fn new(names: &[Name]) -> Self {
        let mut search = Self { entries: Vec::new(), numbers: HashMap::new(), ttl: Duration::MAX };
        for name in names {
            if !search.numbers.contains_key(name) {
                search.numbers.insert(name.clone(), search.entries.len());
                let missing = vec![RecordType::A, RecordType::AAAA];
                search.entries.push(Entry { name: name.clone(), addresses: Vec::new(), missing, is_settled: false });
            }
        }
        search
    }

    /// Takes the addresses of `/etc/hosts`; a name that stands there is not asked for.
    pub(super) fn take_hosts(&mut self, hosts: &Hosts) {
        for entry in &mut self.entries {
            for family in [RecordType::A, RecordType::AAAA] {
                if let Some(found) = hosts.lookup_static_host(&Query::query(entry.name.clone(), family)) {
                    entry.take(found.answers().iter().filter_map(|record| record.data.ip_addr()));
                    entry.missing.clear();
                    entry.is_settled = true;
                }
            }
        }
    }

    /// Takes the addresses that came with the SRV records. IPv4 ones are enough. With IPv6 ones only, the others may just
    /// have had no room in the message.
    pub(super) fn take_additionals(&mut self, additionals: &[Record]) {
        for record in additionals.iter().filter(|record| record.dns_class == DNSClass::IN) {
            let Some(address) = record.data.ip_addr() else { continue };
            let entry = self.numbers.get(&record.name).and_then(|number| self.entries.get_mut(*number));
            let Some(entry) = entry.filter(|entry| !entry.is_settled) else { continue };
            entry.take([address]);
            entry.missing.retain(|family| address.is_ipv6() && *family == RecordType::A);
            self.ttl = self.ttl.min(ask::lifetime(record));
        }
    }

    /// Asks for what is missing. Once any name has an address, the answers to come are waited for only for `patience`.
    pub(super) async fn ask(&mut self, asker: &Arc<Asker>, patience: Duration, deadline: Deadline) {
        let questions: Vec<(usize, RecordType)> = self
            .entries
            .iter()
            .enumerate()
            .flat_map(|(number, entry)| entry.missing.iter().map(move |family| (number, *family)))
            .collect();
        let mut questions = questions.into_iter();
        let mut running = JoinSet::new();
        let has_some = self.entries.iter().any(|entry| !entry.addresses.is_empty());
        let mut until = if has_some { deadline.or_after(patience) } else { deadline };
        let mut is_patient = !has_some;
        loop {
            while running.len() < MAX_QUESTIONS
                && let Some((number, family)) = questions.next()
                && let Some(name) = self.entries.get(number).map(|entry| entry.name.clone())
            {
                let asker = Arc::clone(asker);
                running.spawn(async move { (number, asker.records(&name, family, deadline).await) });
            }
            if running.is_empty() {
                return;
            }
            let Some((number, answer)) = ask::first_done(&mut running, until).await else { return };
            // A name without an address is an answer too: it stays in the list without one.
            let (Ok(found), Some(entry)) = (answer, self.entries.get_mut(number)) else { continue };
            entry.take(found.records.iter().filter_map(|record| record.data.ip_addr()));
            self.ttl = self.ttl.min(found.ttl);
            if is_patient {
                is_patient = false;
                until = deadline.or_after(patience);
            }
        }
    }

    /// The shortest life of an address that was taken.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The addresses of a name, IPv4 first.
    pub(super) fn addresses(&self, name: &Name) -> Vec<IpAddr> {
        let entry = self.numbers.get(name).and_then(|number| self.entries.get(*number));
        let mut addresses = entry.map(|entry| entry.addresses.clone()).unwrap_or_default();
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses
    }
}

impl Entry {
    fn take(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            if self.addresses.len() < MAX_ADDRESSES && !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
    }
}

/// How many questions are under way at a time: each has a socket, and PHP needs some too.
const MAX_QUESTIONS: usize = 32;

/// How many addresses of one name are kept.
const MAX_ADDRESSES: usize = 16;
