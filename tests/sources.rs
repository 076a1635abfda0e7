//! Several sources, and SRV records: who is asked, in which order, and for how long.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "others use the rest")]
mod fake {
    pub mod caller;
    pub mod dns;
    pub mod postgres;
    pub mod server;
    pub mod site;
}

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fake::caller::{Watcher, assert_nobody, configured, wait_until, writer};
use fake::dns::{FakeDns, Reply, Zone, refusal};
use fake::postgres::{self, FakePostgres};
use fake::server::{Server, refusing};
use fake::site::{Manner, Site};
use hadsn::discovery::srv::SHORTEST_LIFE;
use hadsn::error::Kind;
use hickory_resolver::proto::op::ResponseCode;

/// No test is about time unless it says so: a machine that is slow must not make others be asked.
const CALM: &str = "timeout=60s&hedge=30s";

/// Much longer than what is waited for, and much shorter than what is not to be waited for.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn the_next_source_is_asked_only_when_the_one_before_gives_no_answer() {
    let (one, other) = (Site::new(2), Site::of("app", 7001, "x", "10.0.9", 2));
    let sources = format!("patroni://{}/app?{CALM} patroni://{}", one.endpoints(), other.endpoints());
    let mut watcher = Watcher::new(&sources);
    for _ in 0..3 {
        let found = watcher.look().unwrap();
        assert_eq!(found.leader.unwrap().name, "pg1");
        assert_eq!(found.source, format!("patroni://{}/app?{CALM}", one.endpoints()));
    }
    assert_eq!(other.requests(), 0);
    one.behave_all(Manner::Dead);
    other.promote(0);
    let found = watcher.look().unwrap();
    assert_eq!(
        (found.leader.unwrap().name.as_str(), found.answered_by),
        ("x1", format!("patroni {}", other.endpoint(0)))
    );
    assert_eq!(found.source, format!("patroni://{}", other.endpoints()));
}

#[test]
fn the_order_of_the_sources_is_kept_when_the_first_comes_back() {
    let (one, other) = (Site::new(1), Site::new(1));
    let sources = format!("patroni://{}/app?{CALM} patroni://{}", one.endpoints(), other.endpoints());
    let mut watcher = Watcher::new(&sources);
    one.behave(0, Manner::Dead);
    let mut answered_by = || watcher.look().unwrap().answered_by;
    assert_eq!(answered_by(), format!("patroni {}", other.endpoint(0)));
    one.behave(0, Manner::Answering);
    assert_eq!(answered_by(), format!("patroni {}", one.endpoint(0)));
    let asked = other.requests();
    assert_eq!(answered_by(), format!("patroni {}", one.endpoint(0)));
    assert_eq!(other.requests(), asked);
}

#[test]
fn status_says_which_source_has_answered() {
    let (one, other) = (Site::new(1), Site::new(1));
    let cluster = configured(&format!("patroni://{}/app patroni://{}", one.endpoint(0), other.endpoint(0)));
    writer(&cluster).unwrap();
    assert_eq!(cluster.status().answered_by, Some(format!("patroni {}", one.endpoint(0))));
    one.behave(0, Manner::Dead);
    cluster.invalidate();
    writer(&cluster).unwrap();
    assert_eq!(cluster.status().answered_by, Some(format!("patroni {}", other.endpoint(0))));
}

#[test]
fn a_silent_first_source_costs_the_hedge_from_the_second_look_on() {
    let (silent, good) = (Site::new(2), Site::new(2));
    silent.behave_all(Manner::Dead);
    let sources =
        format!("patroni://{}/app?timeout=120s&hedge=50ms patroni://{}", silent.endpoints(), good.endpoints());
    let mut watcher = Watcher::new(&sources);
    assert_eq!(watcher.writer().unwrap(), "pg1");
    // It is another one that has answered. Half of the timeout would be a minute.
    silent.behave_all(Manner::Silent);
    let since = Instant::now();
    assert_eq!(watcher.writer().unwrap(), "pg1");
    assert!(since.elapsed() < LONG, "{:?}", since.elapsed());
    assert!(silent.requests() > 2, "it was not asked at all");
}

#[test]
fn a_silent_first_source_leaves_time_for_the_next_at_the_first_look() {
    let (silent, good) = (Site::new(3), Site::new(1));
    silent.behave_all(Manner::Silent);
    let sources = format!("patroni://{}/app?timeout=2s patroni://{}", silent.endpoints(), good.endpoints());
    let since = Instant::now();
    assert_eq!(Watcher::new(&sources).writer().unwrap(), "pg1");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[test]
fn whatever_is_silent_the_timeout_is_kept_and_everybody_is_named() {
    let dns = FakeDns::silent();
    let (one, other, servers) =
        (Site::new(3), Site::new(2), [(); 2].map(|()| FakePostgres::new(postgres::Manner::Silent)));
    one.behave_all(Manner::Silent);
    other.behave_all(Manner::Silent);
    let list: Vec<String> = servers.iter().map(FakePostgres::endpoint).collect();
    let sources = format!(
        "patroni://app:secret@{}/app?timeout=1s&nameserver={} patroni+srv://pg.test patroni://{} postgresql://{}",
        one.endpoints(),
        dns.address,
        other.endpoints(),
        list.join(",")
    );
    let mut watcher = Watcher::new(&sources);
    for _ in 0..2 {
        let since = Instant::now();
        let error = watcher.look().unwrap_err();
        assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
        assert_eq!(error.kind(), Kind::Discovery);
        for endpoint in one.endpoints().split(',').chain(other.endpoints().split(',')) {
            assert!(error.message().contains(&format!("patroni {endpoint}: no answer within 1s")), "{error}");
        }
        for endpoint in &list {
            assert!(error.message().contains(&format!("postgresql {endpoint}: no answer within")), "{error}");
        }
        assert!(error.message().contains("_patroni._tcp.pg.test: "), "{error}");
    }
}

/// A name server whose records can be changed, and which can fail.
struct Names {
    dns: FakeDns,
    served: Arc<Mutex<Served>>,
}

enum Served {
    Zone(Zone),
    Failure(ResponseCode),
    Silence,
}

impl Names {
    fn of(lines: &[String]) -> Self {
        let served = Arc::new(Mutex::new(zone(lines)));
        let current = Arc::clone(&served);
        let dns = FakeDns::new(Zone::default(), move |_, question, transport| match &*current.lock().unwrap() {
            Served::Zone(zone) => Reply::Message(zone.answer(question, transport)),
            Served::Failure(code) => Reply::Message(refusal(question, *code)),
            Served::Silence => Reply::Silence,
        });
        Self { dns, served }
    }

    fn serve(&self, served: Served) {
        *self.served.lock().unwrap() = served;
    }

    /// `patroni+srv://pg.test/app?nameserver=…`.
    fn source(&self, options: &str) -> String {
        format!("patroni+srv://pg.test/app?nameserver={}&{options}", self.dns.address)
    }

    /// How often it was asked for the service.
    fn asked(&self) -> usize {
        self.dns.questions().iter().filter(|question| question.contains(" SRV ")).count()
    }
}

fn zone(lines: &[String]) -> Served {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Served::Zone(Zone { has_additionals: true, ..Zone::new(&lines) })
}

/// A record of the service, and the address of its target, which is `127.0.0.1`.
fn offer(ttl: u32, priority: u16, host: &str, port: u16) -> [String; 2] {
    [
        format!("_patroni._tcp.pg.test. {ttl} SRV {priority} 0 {port} {host}.test."),
        format!("{host}.test. {ttl} A 127.0.0.1"),
    ]
}

#[test]
fn srv_records_give_the_endpoints_their_order_and_their_ports() {
    let site = Site::new(3);
    for first in 0..3 {
        let priority = |node: usize| if node == first { 5 } else { 10 };
        let lines: Vec<String> =
            (0..3).flat_map(|node| offer(60, priority(node), &format!("pg{node}"), site.port(node))).collect();
        let names = Names::of(&lines);
        let before = [0, 1, 2].map(|node| site.asked(node, "/cluster"));
        let found = Watcher::new(&names.source(CALM)).look().unwrap();
        assert_eq!(found.leader.unwrap().name, "pg1");
        assert_eq!(found.answered_by, format!("patroni pg{first}.test:{}", site.port(first)));
        assert_eq!(found.source, names.source(CALM));
        for (node, before) in before.into_iter().enumerate() {
            assert_eq!(site.asked(node, "/cluster") - before, usize::from(node == first));
        }
    }
}

#[test]
fn the_ttl_of_the_records_is_honoured() {
    let site = Site::new(2);
    let lives = |ttl, node| offer(ttl, 0, "pg", site.port(node));
    let (long, short) = (Names::of(&lives(3600, 0)), Names::of(&lives(1, 0)));
    let (mut patient, mut quick) = (Watcher::new(&long.source(CALM)), Watcher::new(&short.source(CALM)));
    assert_eq!((patient.writer().unwrap().as_str(), quick.writer().unwrap().as_str()), ("pg1", "pg1"));
    long.serve(zone(&lives(3600, 1)));
    short.serve(zone(&lives(1, 1)));
    wait_until(|| {
        assert_eq!((patient.writer().unwrap().as_str(), quick.writer().unwrap().as_str()), ("pg1", "pg1"));
        site.asked(1, "/cluster") > 0
    });
    assert_eq!((long.asked(), short.asked()), (1, 2));
}

#[test]
fn a_ttl_of_zero_counts_as_a_second() {
    let site = Site::new(1);
    let names = Names::of(&offer(0, 0, "pg", site.port(0)));
    let mut watcher = Watcher::new(&names.source(CALM));
    asks_once_a_second(&names, &mut watcher);
    // Nor is one that has no more records asked with every look.
    names.serve(zone(&[]));
    asks_once_a_second(&names, &mut watcher);
}

fn asks_once_a_second(names: &Names, watcher: &mut Watcher) {
    // A machine that is very slow needs several goes to look three times within a second.
    wait_until(|| {
        let (since, before) = (Instant::now(), names.asked());
        for _ in 0..3 {
            assert_eq!(watcher.writer().unwrap(), "pg1");
        }
        let asked = names.asked() - before;
        assert!(since.elapsed() >= SHORTEST_LIFE || asked <= 1, "asked {asked} times within a second");
        since.elapsed() < SHORTEST_LIFE
    });
    let (mut since, before) = (Instant::now(), names.asked());
    wait_until(|| {
        since = Instant::now();
        watcher.writer().is_ok() && names.asked() > before
    });
    let before = names.asked();
    assert_eq!(watcher.writer().unwrap(), "pg1");
    assert!(since.elapsed() >= SHORTEST_LIFE || names.asked() == before, "asked again at once");
}

#[test]
fn the_last_good_records_are_kept_while_dns_is_down() {
    let ways = [
        Served::Silence,
        Served::Failure(ResponseCode::ServFail),
        Served::Failure(ResponseCode::NXDomain),
        Served::Failure(ResponseCode::Refused),
        zone(&[]),
        zone(&["_patroni._tcp.pg.test. 60 SRV 0 0 0 .".to_owned()]),
    ];
    // Each takes some seconds, of waiting.
    thread::scope(|scope| {
        for down in ways {
            scope.spawn(|| the_last_good_records_are_kept_while(down));
        }
    });
}

fn the_last_good_records_are_kept_while(down: Served) {
    let site = Site::new(2);
    let names = Names::of(&offer(1, 0, "pg", site.port(0)));
    let mut watcher = Watcher::new(&names.source("timeout=60s&hedge=200ms"));
    assert_eq!(watcher.writer().unwrap(), "pg1");
    names.serve(down);
    let before = names.asked();
    let since = Instant::now();
    wait_until(|| {
        assert_eq!(watcher.writer().unwrap(), "pg1");
        names.asked() > before
    });
    assert_eq!(watcher.writer().unwrap(), "pg1");
    assert!(since.elapsed() < LONG, "{:?}", since.elapsed());
    // When it is back it is listened to.
    names.serve(zone(&offer(1, 0, "pg", site.port(1))));
    wait_until(|| watcher.writer().is_ok() && site.asked(1, "/cluster") > 0);
}

#[test]
fn without_records_the_reason_is_told_and_the_next_source_asked() {
    let site = Site::new(1);
    for (served, reason) in [
        (Served::Failure(ResponseCode::NXDomain), "_patroni._tcp.pg.test: no such name (NXDOMAIN)"),
        (Served::Failure(ResponseCode::ServFail), "SERVFAIL"),
        (Served::Silence, "_patroni._tcp.pg.test: "),
        (zone(&["_patroni._tcp.pg.test. 60 SRV 0 0 0 .".to_owned()]), "decidedly not available"),
        (zone(&["_patroni._tcp.pg.test. 60 SRV 0 0 0 pg.test.".to_owned()]), "the port of \"pg.test\" is 0"),
    ] {
        let names = Names::of(&[]);
        names.serve(served);
        let error = Watcher::new(&names.source("timeout=1s")).look().unwrap_err();
        assert_eq!(error.kind(), Kind::Discovery);
        assert!(error.message().contains(reason), "{error}");
        let sources = format!("{} patroni://{}", names.source("timeout=2s"), site.endpoint(0));
        assert_eq!(Watcher::new(&sources).writer().unwrap(), "pg1");
    }
}

#[test]
fn a_target_outside_allow_hosts_is_never_connected_to() {
    let site = Site::new(2);
    let foreign = Server::at("127.0.3.1".parse().unwrap(), |_| {});
    let lie = [
        format!("_patroni._tcp.pg.test. 60 SRV 0 0 {} evil.test.", foreign.port()),
        "evil.test. 60 A 127.0.3.1".to_owned(),
    ];
    let good: Vec<String> = (0..2).flat_map(|node| offer(60, 10, &format!("pg{node}"), site.port(node))).collect();
    let names = Names::of(&[&lie[..], &good].concat());
    let options = format!("allow_hosts=127.0.0.1/32,10.0.0.0/8&{CALM}");
    let mut watcher = Watcher::new(&names.source(&options));
    assert_eq!(watcher.writer().unwrap(), "pg1");
    // Nor when all are asked.
    site.change(|truth| truth.leader = None);
    assert_nobody(watcher.writer(), &["none of 2 members is the leader"]);
    let only = Names::of(&lie);
    let error = Watcher::new(&only.source(&options)).look().unwrap_err();
    assert!(error.message().contains("all 1 targets are outside allow_hosts"), "{error}");
    assert_eq!(foreign.connections(), 0);
}

#[test]
fn a_few_that_answer_among_two_hundred_records_are_found() {
    let site = Site::new(3);
    let port = refusing().port();
    let mut lines: Vec<String> = (0..197).flat_map(|number| offer(60, 0, &format!("gone{number}"), port)).collect();
    lines.extend((0..3).flat_map(|node| offer(60, 10, &format!("pg{node}"), site.port(node))));
    let names = Names::of(&lines);
    let mut watcher = Watcher::new(&names.source(CALM));
    assert_eq!(watcher.writer().unwrap(), "pg1");
    assert!(names.dns.questions().iter().any(|question| question.starts_with("TCP SRV ")));
    // From then on one of the few is asked first, and alone.
    let before = site.requests();
    assert_eq!(watcher.writer().unwrap(), "pg1");
    assert_eq!(site.requests(), before + 1);
}

#[test]
fn a_target_that_does_not_resolve_spoils_nothing() {
    let site = Site::new(1);
    let lost = format!("_patroni._tcp.pg.test. 60 SRV 0 0 {} lost.test.", site.port(0));
    let names = Names::of(&[&[lost.clone()][..], &offer(60, 10, "pg", site.port(0))].concat());
    let mut watcher = Watcher::new(&names.source("timeout=10s"));
    assert_eq!(watcher.writer().unwrap(), "pg1");
    let names = Names::of(&[lost]);
    let error = Watcher::new(&names.source("timeout=2s")).look().unwrap_err();
    assert!(
        error.message().contains(&format!("no address of its 1 targets, the first is lost.test:{}", site.port(0))),
        "{error}"
    );
}

#[test]
fn a_source_whose_leader_has_gone_does_not_shorten_the_time_of_those_before_it() {
    let (first, second) = (Site::new(1), Site::new(1));
    let sources = format!("patroni://{}/app?timeout=2s patroni://{}", first.endpoints(), second.endpoints());
    let mut watcher = Watcher::new(&sources);
    first.behave_all(Manner::Silent);
    assert_eq!(watcher.writer().unwrap(), "pg1");
    assert_eq!(watcher.memory.preferred.as_ref().map(|(source, _)| *source), Some(1));
    second.change(|truth| truth.leader = None);
    assert!(watcher.writer().is_err());
    // The first one may be slower than the hedge, and has all its time again.
    assert_eq!(watcher.memory.preferred, None);
}
