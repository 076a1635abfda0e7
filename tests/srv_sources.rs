//! Clusters behind SRV records: the name server may be down, late, or lie.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "other tests use the rest")]
mod fake {
    pub mod dns;
    pub mod nodes;
}

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fake::dns::{FakeDns, Reply, Zone, refusal};
use fake::nodes::Site;
use hadsn::config::Config;
use hadsn::discovery::{Found, Memory, discover};
use hadsn::error::Error;
use hadsn::sys::clock::Deadline;
use hickory_resolver::proto::op::ResponseCode;

/// One who looks again and again.
struct Reader {
    config: Arc<Config>,
    memory: Memory,
}

impl Reader {
    fn of(dns: &FakeDns, options: &str) -> Self {
        let sources = format!("patroni+srv://pg.test/app?timeout=20s&nameserver={}{options}", dns.endpoint());
        Self { config: Arc::new(Config::parse(&sources).unwrap()), memory: Memory::default() }
    }

    fn look(&mut self) -> Result<Found, Error> {
        let look = discover(&self.config, &self.memory, None, Deadline::after(self.config.timing.timeout));
        self.memory = look.memory;
        look.result
    }

    fn writer(&mut self) -> Result<String, String> {
        let leader = self.look().map_err(|error| error.to_string())?.leader;
        leader.map(|leader| leader.endpoint.host.to_string())
    }
}

/// A record for each node, which live for a second.
fn records(site: &Site) -> Vec<String> {
    let mut lines = vec!["node.test. 1 A 127.0.0.1".to_owned()];
    lines.extend(site.nodes.iter().map(|node| format!("_patroni._tcp.pg.test. 1 SRV 0 0 {} node.test.", node.port())));
    lines
}

fn zone(lines: &[String]) -> Zone {
    Zone::new(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: it did not come to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_records_lead_to_the_endpoints_by_their_own_ports() {
    let site = Site::new("pg", "10.0.0", 3, 7001);
    let dns = FakeDns::of_zone(zone(&records(&site)));
    let mut reader = Reader::of(&dns, "");
    let found = reader.look().unwrap();
    assert_eq!(found.leader.unwrap().endpoint.to_string(), "10.0.0.1:5432");
    assert_eq!(found.source, format!("patroni+srv://pg.test/app?timeout=20s&nameserver={}", dns.endpoint()));
    let ports: Vec<_> = site.nodes.iter().map(|node| format!("patroni node.test:{}", node.port())).collect();
    assert!(ports.contains(&found.answered_by), "{} is none of {ports:?}", found.answered_by);
}

#[test]
fn the_last_good_records_are_used_while_there_are_no_others() {
    let site = Site::new("pg", "10.0.0", 2, 7001);
    let mood = Arc::new(AtomicUsize::new(0));
    let hook = {
        let mood = Arc::clone(&mood);
        move |zone: &Zone, question: &_, transport| match mood.load(Ordering::Relaxed) {
            0 => Reply::Message(zone.answer(question, transport)),
            1 => Reply::Message(refusal(question, ResponseCode::ServFail)),
            2 => Reply::Message(refusal(question, ResponseCode::NXDomain)),
            3 => Reply::Bytes(vec![b"nonsense".to_vec()]),
            _ => Reply::Silence,
        }
    };
    let dns = FakeDns::new(zone(&records(&site)), hook);
    let mut reader = Reader::of(&dns, "&hedge=50ms");
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    for bad in 1..=4 {
        mood.store(bad, Ordering::Relaxed);
        let asked = dns.questions().len();
        await_that("the name server is asked again", || {
            assert_eq!(reader.writer().unwrap(), "10.0.0.1", "mood {bad}");
            dns.questions().len() > asked
        });
        let begun = Instant::now();
        assert_eq!(reader.writer().unwrap(), "10.0.0.1", "mood {bad}");
        assert!(begun.elapsed() < Duration::from_secs(4), "a name server that is down must not cost the whole timeout");
    }
    // One who has no records yet learns why.
    for (bad, reason) in [(1, "SERVFAIL"), (2, "NXDOMAIN")] {
        mood.store(bad, Ordering::Relaxed);
        let error = Reader::of(&dns, "").writer().unwrap_err();
        assert!(error.contains("_patroni._tcp.pg.test: ") && error.contains(reason), "{error}");
    }
}

#[test]
fn new_records_are_seen_when_the_old_ones_have_lived_their_time() {
    let (old, new) = (Site::new("pg", "10.0.0", 1, 7001), Site::new("pg", "10.0.5", 1, 7001));
    new.is_led_by(0, 2);
    let current = Arc::new(Mutex::new(records(&old)));
    let hook = {
        let current = Arc::clone(&current);
        move |_: &Zone, question: &_, transport| {
            Reply::Message(zone(&current.lock().unwrap()).answer(question, transport))
        }
    };
    let dns = FakeDns::new(zone(&records(&old)), hook);
    let mut reader = Reader::of(&dns, "");
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    *current.lock().unwrap() = records(&new);
    let begun = Instant::now();
    await_that("the new records are used", || reader.writer().unwrap() == "10.0.5.1");
    assert!(begun.elapsed() > Duration::from_millis(500), "the records live for a second");
}

#[test]
fn a_target_outside_allow_hosts_is_never_connected_to() {
    let site = Site::new("pg", "10.0.0", 2, 7001);
    let dns = FakeDns::of_zone(zone(&records(&site)));
    let error = Reader::of(&dns, "&allow_hosts=10.0.0.0/8,.example.com").writer().unwrap_err();
    assert!(error.contains("outside allow_hosts"), "{error}");
    assert!(site.nodes.iter().all(|node| node.paths().is_empty()));
    assert_eq!(Reader::of(&dns, "&allow_hosts=10.0.0.0/8,127.0.0.0/8").writer().unwrap(), "10.0.0.1");
}

#[test]
fn of_two_hundred_records_those_that_answer_are_found() {
    let site = Site::new("pg", "10.0.0", 2, 7001);
    let mut lines = records(&site);
    // Nobody listens at the discard port, and some targets do not even resolve.
    lines.extend((0..100).map(|n| format!("_patroni._tcp.pg.test. 1 SRV 0 {n} 9 dead{n}.test.")));
    lines.extend((0..100).map(|n| format!("dead{n}.test. 1 A 127.0.0.1")));
    lines.extend((0..98).map(|n| format!("_patroni._tcp.pg.test. 1 SRV 0 0 8008 nowhere{n}.test.")));
    let dns = FakeDns::of_zone(zone(&lines));
    assert_eq!(Reader::of(&dns, "").writer().unwrap(), "10.0.0.1");
}
