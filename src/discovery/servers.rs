//! Database servers as a source: what they say of themselves by SQL → a topology.

use std::collections::HashMap;

use super::believe::Word;
use super::members;
use super::probe::{self, Login, Refusal, ServerRole, Standing};
use super::targets::Target;
use crate::address::Endpoint;
use crate::config::Config;
use crate::route::{self, Addresses, Route};
use crate::sys::clock::Deadline;
use crate::topology::{Member, Role, Topology};

/// What the servers have said.
pub(super) struct Answers {
    /// The servers that answered.
    pub(super) topology: Topology,
    /// Each one's word.
    pub(super) words: HashMap<Endpoint, Word>,
    /// Those that did not, and why.
    pub(super) refusals: Vec<(Endpoint, String)>,
}

impl Answers {
    /// Turns away the servers of other clusters than `known`; while none is known, of others than most belong to, or all.
    pub(super) fn keep_one_cluster(&mut self, known: Option<u64>) {
        let system = |word: &Word| match word {
            Word::Primary { system, .. } | Word::Other { system, .. } => *system,
            Word::Nothing(_) => None,
        };
        let mut counts: HashMap<u64, usize> = HashMap::new();
        for system in self.words.values().filter_map(system) {
            *counts.entry(system).or_default() += 1;
        }
        // A cluster that was made anew is for the rules of belief: then nobody is left of the known one.
        let kept = known.filter(|known| counts.contains_key(known)).or_else(|| {
            let most = counts.values().max()?;
            let mut largest = counts.iter().filter(|(_, count)| *count == most).map(|(system, _)| *system);
            largest.next().filter(|_| largest.next().is_none())
        });
        if counts.len() < 2 {
            return;
        }
        let is_foreign =
            |endpoint: &Endpoint| self.words.get(endpoint).and_then(system).is_some_and(|system| kept != Some(system));
        let (foreign, own): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.topology.members).into_iter().partition(|member| is_foreign(&member.endpoint));
        self.topology.members = own;
        for member in foreign {
            self.words.remove(&member.endpoint);
            let reason = "it is of another cluster (another system identifier) than the others".to_owned();
            self.refusals.push((member.endpoint, reason));
        }
    }
}

/// Asks all `targets` at once. Ends by `deadline`, or `hedge` after the first primary has answered.
pub(super) fn ask(
    targets: &[Target],
    login: &Login,
    config: &Config,
    known: &Addresses,
    deadline: Deadline,
) -> Answers {
    let addresses = addresses_of(targets, config, known, deadline);
    let mut refusals = Vec::new();
    let mut asked = Vec::new();
    for target in targets {
        match Route::of(target.endpoint.clone(), config, &addresses) {
            // Named twice, it would be two that claim the same.
            Ok(route)
                if asked.iter().any(|(_, other): &(_, Route)| other.socket_address() == route.socket_address()) => {}
            Ok(route) => asked.push((target.endpoint.clone(), route)),
            Err(reason) => refusals.push((target.endpoint.clone(), reason.to_string())),
        }
    }
    let (endpoints, routes): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let answers = probe::ask_all(&routes, login, config, deadline, config.timing.hedge);

    let mut standings = Vec::new();
    for (endpoint, answer) in endpoints.into_iter().zip(answers) {
        match answer {
            Ok(standing) => standings.push((endpoint, standing)),
            Err(Refusal { text, .. }) => refusals.push((endpoint, text)),
        }
    }
    let leaders_lsn = standings.iter().filter(|(_, s)| s.role == ServerRole::Primary).filter_map(|(_, s)| s.lsn).max();
    let words = standings.iter().map(|(endpoint, standing)| (endpoint.clone(), word(standing))).collect();
    let members = standings.into_iter().map(|(endpoint, standing)| member(endpoint, &standing, leaders_lsn)).collect();
    Answers { topology: Topology { members, ..Topology::default() }, words, refusals }
}

/// Asks the PostgreSQL of `member` itself, past a pooler.
pub(super) fn ask_member(
    member: &Member,
    login: &Login,
    config: &Config,
    known: &Addresses,
    deadline: Deadline,
) -> Word {
    let endpoint = route::server(member, config);
    let target = Target { endpoint: endpoint.clone(), addresses: Vec::new() };
    let addresses = addresses_of(&[target], config, known, deadline);
    let route = match Route::of(endpoint, config, &addresses) {
        Ok(route) => route,
        Err(reason) => return Word::Nothing(format!("its PostgreSQL: {reason}")),
    };
    match probe::ask(&route, login, config, deadline) {
        Ok(standing) => word(&standing),
        Err(refusal) => Word::Nothing(format!("its PostgreSQL: {}", refusal.text)),
    }
}

/// The addresses of targets that are given by name: SRV records have brought them along, or they are looked up.
fn addresses_of(targets: &[Target], config: &Config, known: &Addresses, deadline: Deadline) -> Addresses {
    let mut addresses = Addresses::new();
    let mut wanted = members::Wanted::default();
    for target in targets {
        let Some(name) = target.endpoint.host.name() else { continue };
        match (target.addresses.first(), known.get(name)) {
            (Some(address), _) if target.addresses.len() == 1 => {
                addresses.insert(name.to_owned(), *address);
            }
            (_, Some(address)) => {
                addresses.insert(name.to_owned(), *address);
                wanted.add(name, target.endpoint.port);
            }
            (first, None) => {
                addresses.extend(first.map(|address| (name.to_owned(), *address)));
                wanted.add(name, target.endpoint.port);
            }
        }
    }
    members::reach(wanted, addresses, config, deadline)
}

fn word(standing: &Standing) -> Word {
    match standing.role {
        ServerRole::Primary => Word::Primary { timeline: standing.timeline, system: standing.system_identifier },
        ServerRole::ReadOnlyPrimary => Word::Other {
            what: "it is a primary whose transactions are read-only (default_transaction_read_only)".to_owned(),
            system: standing.system_identifier,
        },
        ServerRole::Standby { .. } => {
            Word::Other { what: "it is a standby".to_owned(), system: standing.system_identifier }
        }
    }
}

fn member(endpoint: Endpoint, standing: &Standing, leaders_lsn: Option<u64>) -> Member {
    let (role, state) = match standing.role {
        ServerRole::Primary => (Role::Leader, "running"),
        ServerRole::ReadOnlyPrimary => (Role::Leader, "read-only"),
        ServerRole::Standby { is_streaming: true } => (Role::Replica, "streaming"),
        ServerRole::Standby { is_streaming: false } => (Role::Replica, "running"),
    };
    let lag = match (&role, leaders_lsn, standing.lsn) {
        (Role::Replica, Some(written), Some(replayed)) => Some(written.saturating_sub(replayed)),
        _ => None,
    };
    Member {
        name: endpoint.to_string(),
        endpoint,
        role,
        state: state.to_owned(),
        timeline: standing.timeline,
        lag,
        replayed: standing.lsn.filter(|_| standing.role != ServerRole::Primary),
        tags: Vec::new(),
        api_url: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of servers with these system identifiers, and how many were turned away.
    fn kept(systems: &[u64], known: Option<u64>) -> (Vec<String>, usize) {
        let mut answers = Answers { topology: Topology::default(), words: HashMap::new(), refusals: Vec::new() };
        for (number, system) in systems.iter().enumerate() {
            let endpoint = Endpoint::parse(&format!("10.0.0.{}", number + 1), 5432).unwrap();
            let standing = Standing {
                role: ServerRole::Standby { is_streaming: true },
                timeline: None,
                system_identifier: Some(*system),
                lsn: None,
                took: std::time::Duration::ZERO,
            };
            answers.words.insert(endpoint.clone(), word(&standing));
            answers.topology.members.push(member(endpoint, &standing, None));
        }
        answers.keep_one_cluster(known);
        let names = answers.topology.members.iter().map(|member| member.endpoint.host.to_string()).collect();
        (names, answers.refusals.len())
    }

    #[test]
    fn servers_of_another_cluster_are_turned_away() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(kept(&[7, 7, 9], None), (names(&["10.0.0.1", "10.0.0.2"]), 1));
        assert_eq!(kept(&[7, 9, 9], Some(7)), (names(&["10.0.0.1"]), 2));
        assert_eq!(kept(&[7, 9], None), (names(&[]), 2), "which one is meant is not known");
        assert_eq!(kept(&[9, 9], Some(7)), (names(&["10.0.0.1", "10.0.0.2"]), 0), "that is for believe.rs to judge");
        assert_eq!(kept(&[7], None), (names(&["10.0.0.1"]), 0));
    }
}
