//! Database servers as a source, and beside Patroni: what they say of themselves by SQL.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "others use the rest")]
mod fake {
    pub mod caller;
    pub mod dns;
    pub mod postgres;
    pub mod server;
    pub mod site;
}

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fake::caller::{Watcher, assert_nobody, configured};
use fake::dns::FakeDns;
use fake::postgres::{FakePostgres, Manner};
use fake::server::{Server, refusing};
use fake::site::{self, Site};
use hadsn::cluster::{Call, Step};
use hadsn::config::Secret;
use hadsn::discovery::probe::Login;
use hadsn::error::Kind;
use hadsn::route::Route;

/// No test is about time unless it says so: a machine that is slow must not make others be asked.
const CALM: &str = "timeout=60s&hedge=30s";

/// Much longer than what is waited for, and much shorter than what is not to be waited for.
const LONG: Duration = Duration::from_secs(20);

const SYSTEM: u64 = 7001;

fn listed(servers: &[&FakePostgres], options: &str) -> Watcher {
    let list: Vec<String> = servers.iter().map(|server| server.endpoint()).collect();
    Watcher::new(&format!("postgresql://app:hunter2@{}/shop?{options}", list.join(",")))
}

#[test]
fn servers_are_told_apart_by_sql() {
    let standby = FakePostgres::new(Manner::Standby(2, SYSTEM));
    let primary = FakePostgres::new(Manner::Primary(2, SYSTEM));
    let mut watcher = listed(&[&standby, &primary], CALM);
    let found = watcher.look().unwrap();
    assert_eq!(found.leader.as_ref().unwrap().name, primary.endpoint());
    assert_eq!((found.system, found.leader.unwrap().timeline), (Some(SYSTEM), Some(2)));
    let replicas: Vec<_> = found.topology.replicas().map(|m| (m.name.clone(), m.state.clone(), m.lag)).collect();
    assert_eq!(replicas, [(standby.endpoint(), "streaming".to_owned(), Some(0))]);

    standby.be(Manner::Primary(3, SYSTEM));
    primary.be(Manner::Standby(3, SYSTEM));
    assert_eq!(watcher.writer().unwrap(), standby.endpoint());
    primary.be(Manner::ReadOnly(4, SYSTEM));
    standby.be(Manner::Standby(3, SYSTEM));
    assert_nobody(watcher.writer(), &[&primary.endpoint(), "in state \"read-only\""]);
}

#[test]
fn of_two_primaries_the_higher_timeline_is_written_to() {
    let (one, other) = (FakePostgres::new(Manner::Primary(4, SYSTEM)), FakePostgres::new(Manner::Primary(5, SYSTEM)));
    assert_eq!(listed(&[&one, &other], CALM).writer().unwrap(), other.endpoint());
    let mut watcher = listed(&[&other, &one], CALM);
    assert_eq!(watcher.writer().unwrap(), other.endpoint());
    one.be(Manner::Primary(5, SYSTEM));
    let both = [one.endpoint(), other.endpoint(), "both claim to be the leader on timeline 5".to_owned()];
    assert_nobody(listed(&[&one, &other], CALM).writer(), &[&both[0], &both[1], &both[2]]);
    one.be(Manner::Primary(6, SYSTEM));
    assert_eq!(watcher.writer().unwrap(), one.endpoint());
}

#[test]
fn a_server_that_cannot_be_asked_is_named_and_spoils_nobody() {
    let starting = FakePostgres::new(Manner::Refusing("57P03", "the database system is starting up"));
    let strict = FakePostgres::new(Manner::Refusing("28P01", "password authentication failed"));
    let hanging = FakePostgres::new(Manner::Silent);
    let gone = refusing();
    let reasons = [
        format!("postgresql {}: is starting up (57P03)", starting.endpoint()),
        format!("postgresql {}: rejects the password of \"app\" (28P01)", strict.endpoint()),
        format!("postgresql {}: no answer within ", hanging.endpoint()),
        format!("postgresql {gone}: connection refused"),
    ];
    let list = format!("{},{},{},{gone}", starting.endpoint(), strict.endpoint(), hanging.endpoint());
    let error = Watcher::new(&format!("postgresql://app:hunter2@{list}/shop?timeout=1s")).look().unwrap_err();
    assert_eq!(error.kind(), Kind::Discovery);
    for reason in &reasons {
        assert!(error.message().contains(reason), "no {reason} in {error}");
    }
    assert!(!error.message().contains("hunter2"), "{error}");

    let primary = FakePostgres::new(Manner::Primary(1, SYSTEM));
    let sources = format!("postgresql://app:hunter2@{list},{}/shop?timeout=60s", primary.endpoint());
    let since = Instant::now();
    assert_eq!(Watcher::new(&sources).writer().unwrap(), primary.endpoint());
    assert!(since.elapsed() < LONG, "{:?}", since.elapsed());

    // With a standby alone there is no leader, and the reasons say where it may be.
    primary.be(Manner::Standby(1, SYSTEM));
    let sources = format!("postgresql://app:hunter2@{list},{}/shop?timeout=1s", primary.endpoint());
    assert_nobody(Watcher::new(&sources).writer(), &reasons.each_ref().map(String::as_str));
}

#[test]
fn without_credentials_nobody_is_asked_and_the_message_says_what_to_do() {
    let primary = FakePostgres::new(Manner::Primary(1, SYSTEM));
    let sources = format!("postgresql://{}/shop", primary.endpoint());
    let error = Watcher::new(&sources).look().unwrap_err();
    assert_eq!(error.kind(), Kind::Discovery);
    assert!(error.message().contains("source 1: nobody to log in as: put user:password@"), "{error}");
    assert_eq!(primary.connections(), 0);
    // Those of the call do as well.
    let cluster = configured(&sources);
    let login = Login { user: "app".into(), password: Some(Secret::new("hunter2")), database: None };
    let Step::Ready(answer) = cluster.writer(&Call::now(Some(login))) else { panic!("there is no writer") };
    assert_eq!(answer.routes[0].port, primary.port());
}

#[test]
fn servers_are_asked_behind_a_patroni_that_gives_no_answer() {
    let (primary, site) = (FakePostgres::new(Manner::Primary(1, SYSTEM)), Site::new(2));
    let sources = format!("patroni://app:hunter2@{}/app?{CALM} postgresql://{}", site.endpoints(), primary.endpoint());
    let mut watcher = Watcher::new(&sources);
    // What Patroni does not call the leader is none, although it takes writes.
    site.change(|truth| truth.leader = None);
    assert_nobody(watcher.writer(), &["none of 2 members is the leader"]);
    site.change(|truth| truth.leader = Some(0));
    assert_eq!(watcher.writer().unwrap(), "pg1");
    assert_eq!(primary.connections(), 0);
    site.behave_all(site::Manner::Dead);
    let found = watcher.look().unwrap();
    assert_eq!(found.leader.unwrap().name, primary.endpoint());
    assert_eq!(found.answered_by, format!("postgresql {}", primary.endpoint()));
}

#[test]
fn the_last_leader_stays_while_its_postgresql_says_that_it_is_a_primary() {
    let (primary, site) = (FakePostgres::new(Manner::Primary(1, SYSTEM)), Site::new(2));
    site.change(|truth| {
        truth.nodes[0].host = "127.0.0.1".to_owned();
        truth.nodes[0].port = primary.port();
    });
    let mut watcher = Watcher::new(&format!("patroni://app:hunter2@{}/app?{CALM}", site.endpoints()));
    assert_eq!(watcher.writer().unwrap(), "pg1");
    // Patroni is stopped there, and its lock has expired.
    site.behave(0, site::Manner::Dead);
    site.change(|truth| {
        truth.leader = None;
        truth.nodes[0].is_member = false;
    });
    assert_eq!(watcher.writer().unwrap(), "pg1");
    primary.be(Manner::Standby(1, SYSTEM));
    assert_nobody(watcher.writer(), &["\"pg1\", which led before: it is a standby"]);
    primary.be(Manner::Primary(1, 9009));
    assert_nobody(watcher.writer(), &["none of 1 members is the leader"]);
    // Somebody who is confirmed goes before it.
    primary.be(Manner::Primary(1, SYSTEM));
    site.promote(1);
    assert_eq!(watcher.writer().unwrap(), "pg2");
}

#[test]
fn a_leader_without_an_api_is_confirmed_by_sql() {
    let (primary, site) = (FakePostgres::new(Manner::Standby(2, SYSTEM)), Site::new(2));
    site.change(|truth| {
        truth.nodes[1].host = "127.0.0.1".to_owned();
        truth.nodes[1].port = primary.port();
    });
    let mut watcher = Watcher::new(&format!("patroni://app:hunter2@{}/app?timeout=1s&hedge=100ms", site.endpoints()));
    assert_eq!(watcher.writer().unwrap(), "pg1");
    site.promote(1);
    site.behave(1, site::Manner::Dead);
    assert_nobody(watcher.writer(), &["\"pg2\" is named the leader, and by its own word it is a standby"]);
    primary.be(Manner::Primary(2, SYSTEM));
    assert_eq!(watcher.writer().unwrap(), "pg2");
}

#[test]
fn database_hosts_from_srv_records_are_asked_by_sql() {
    let standby = FakePostgres::new(Manner::Standby(1, SYSTEM));
    let primary = FakePostgres::new(Manner::Primary(1, SYSTEM));
    let foreign = Server::at("127.0.3.1".parse().unwrap(), |_| {});
    let record = |priority: u16, host: &str, port: u16| {
        format!("_postgresql._tcp.pg.test. 60 SRV {priority} 0 {port} {host}.test.")
    };
    let mut lines = vec![
        record(0, "evil", foreign.port()),
        record(10, "one", standby.port()),
        record(20, "two", primary.port()),
        record(30, "gone", refusing().port()),
        record(30, "lost", 5432),
        "evil.test. 60 A 127.0.3.1".to_owned(),
    ];
    lines.extend(["one", "two", "gone"].map(|host| format!("{host}.test. 60 A 127.0.0.1")));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let dns = FakeDns::of(&lines);
    let source = |options: &str| {
        let server = dns.address;
        format!("postgresql+srv://app:hunter2@pg.test/shop?nameserver={server}&allow_hosts=127.0.0.1/32{options}")
    };
    let found = Watcher::new(&source("&timeout=10s")).look().unwrap();
    // Priority and weight do not decide who the leader is.
    assert_eq!(found.leader.unwrap().name, format!("two.test:{}", primary.port()));
    let members: Vec<String> = found.topology.members.iter().map(|member| member.name.clone()).collect();
    assert_eq!(members, [format!("one.test:{}", standby.port()), format!("two.test:{}", primary.port())]);
    let local = |host: &str| (host.to_owned(), "127.0.0.1".parse().unwrap());
    assert_eq!(found.addresses, HashMap::from([local("one.test"), local("two.test")]));
    assert_eq!(foreign.connections(), 0);

    // The DSN has the name for the certificate, and the address that the name server told.
    let cluster = configured(&source(""));
    let Step::Ready(answer) = cluster.writer(&Call::now(None)) else { panic!("there is no writer") };
    let [Route { host, address, port }] = &answer.routes[..] else { panic!("{answer:?}") };
    assert_eq!((host.to_string().as_str(), *port), ("two.test", primary.port()));
    assert_eq!(*address, Some("127.0.0.1".parse().unwrap()));
}

#[test]
fn one_of_two_servers_does_not_bring_the_old_timeline_back() {
    let (one, other) = (FakePostgres::new(Manner::Standby(2, SYSTEM)), FakePostgres::new(Manner::Primary(2, SYSTEM)));
    let mut watcher = listed(&[&one, &other], "timeout=1s");
    assert_eq!(watcher.writer().unwrap(), other.endpoint());
    one.be(Manner::Primary(1, SYSTEM));
    other.be(Manner::Silent);
    assert_nobody(watcher.writer(), &["is on timeline 1, while timeline 2 was confirmed before"]);
    other.be(Manner::Standby(1, SYSTEM));
    assert_eq!(watcher.writer().unwrap(), one.endpoint());
}
