//! What SRV records are worth: pure.

use std::collections::HashSet;
use std::fmt::Write;

use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};

use super::{MAX_TARGETS, Target};
use crate::address::{Endpoint, Host};
use crate::error::shown;
use crate::sys::names::Failure;

/// A target whose addresses are still to be found.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) target: Target,
    /// Its host, as DNS knows it.
    pub(super) name: Name,
}

/// The targets of `records` that can be used: by priority, the higher weight first, each host and port once,
/// [`MAX_TARGETS`] at most.
///
/// # Errors
///
/// The service is not available, or none of its records can be used.
pub(super) fn read(records: &[Record]) -> Result<Vec<Candidate>, Failure> {
    let records: Vec<&SRV> = records
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv),
            _ => None,
        })
        .collect();
    if records.iter().all(|srv| srv.target.is_root()) {
        return Err(failure("the service is decidedly not available there (the target of its SRV record is \".\")"));
    }
    let mut unusable = Vec::new();
    let mut candidates = Vec::new();
    for srv in records {
        match candidate(srv) {
            Ok(candidate) => candidates.push(candidate),
            Err(reason) => unusable.push(reason),
        }
    }
    if candidates.is_empty() {
        return Err(failure(format!("none of its SRV records can be used: {}", list(&unusable))));
    }
    candidates.sort_by(|one, other| {
        (one.target.priority, other.target.weight).cmp(&(other.target.priority, one.target.weight))
    });
    let mut seen = HashSet::new();
    candidates.retain(|candidate| seen.insert((candidate.name.clone(), candidate.target.endpoint.port)));
    candidates.truncate(MAX_TARGETS);
    Ok(candidates)
}

fn candidate(srv: &SRV) -> Result<Candidate, String> {
    if srv.target.is_root() {
        return Err("a target is \".\"".to_owned());
    }
    let text = srv.target.to_ascii();
    let text = text.strip_suffix('.').unwrap_or(&text);
    if srv.port == 0 {
        return Err(format!("the port of {} is 0", shown(text)));
    }
    match Host::parse(text) {
        Ok(host @ Host::Name(_)) => Ok(Candidate {
            target: Target {
                endpoint: Endpoint { host, port: srv.port },
                addresses: Vec::new(),
                priority: srv.priority,
                weight: srv.weight,
            },
            name: srv.target.clone(),
        }),
        Ok(Host::Ip(_)) => Err(format!("the target {} is an address instead of a name", shown(text))),
        Err(reason) => Err(format!("the target {}: {reason}", shown(text))),
    }
}

fn list(reasons: &[String]) -> String {
    let mut text = reasons.iter().take(MAX_REASONS).map(String::as_str).collect::<Vec<_>>().join("; ");
    if reasons.len() > MAX_REASONS {
        // Writing to a string does not fail.
        let _ = write!(text, "; and {} more", reasons.len() - MAX_REASONS);
    }
    text
}

fn failure(text: impl Into<String>) -> Failure {
    Failure { text: text.into(), is_late: false }
}

/// How many reasons a message names.
const MAX_REASONS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Record {
        let target = if target == SPACED {
            Name::from_labels([b"a b".as_slice()]).unwrap()
        } else {
            Name::from_ascii(target).unwrap()
        };
        Record::from_rdata(Name::root(), 60, RData::SRV(SRV::new(priority, weight, port, target)))
    }

    /// A name of DNS, but not of a host.
    const SPACED: &str = "a b.";

    fn read_all(records: &[Record]) -> Result<Vec<String>, String> {
        read(records)
            .map(|found| found.iter().map(|found| found.target.endpoint.to_string()).collect())
            .map_err(|failure| failure.text)
    }

    #[test]
    fn the_same_host_and_port_counts_once() {
        let found = read(&[
            srv(20, 9, 1, "pg1.test."),
            srv(10, 5, 1, "PG1.test."),
            srv(10, 7, 1, "pg1.test."),
            srv(10, 1, 2, "pg1.test."),
        ])
        .unwrap();
        let found: Vec<_> =
            found.iter().map(|f| (f.target.priority, f.target.weight, f.target.endpoint.port)).collect();
        assert_eq!(found, [(10, 7, 1), (10, 1, 2)]);
    }

    #[test]
    fn what_cannot_be_used_is_left_out() {
        let bad = [srv(1, 1, 0, "a.test."), srv(1, 1, 1, SPACED), srv(1, 1, 1, "10.0.0.1."), srv(1, 1, 1, ".")];
        let mut records = bad.to_vec();
        records.push(srv(2, 1, 5432, "pg1.test."));
        assert_eq!(read_all(&records), Ok(vec!["pg1.test:5432".to_owned()]));
        let text = read_all(&bad).unwrap_err();
        assert!(text.contains(r#"the port of "a.test" is 0"#) && text.contains("is an address"), "{text}");
        assert!(text.ends_with("and 1 more"), "{text}");
    }

    #[test]
    fn a_dot_means_that_there_is_no_service() {
        let text = read_all(&[srv(0, 0, 0, ".")]).unwrap_err();
        assert!(text.contains("decidedly not available"), "{text}");
    }

    #[test]
    fn of_too_many_the_lowest_priorities_stay() {
        let records: Vec<Record> = (0..300_u16).map(|i| srv(300 - i, 0, 1, &format!("pg{i}.test."))).collect();
        let found = read(&records).unwrap();
        assert_eq!(found.len(), MAX_TARGETS);
        assert_eq!((found[0].target.priority, found[MAX_TARGETS - 1].target.priority), (1, 256));
    }
}
