//! What endpoints that are dead, slow or lying do to a caller.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod fake;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake::caller::{configured, readers, wait_until, writer};
use fake::{Behaviour, Fake, cluster, refusing};
use hadsn::cluster::Call;
use hadsn::config::Config;
use hadsn::discovery::{Memory, discover};
use hadsn::error::Kind;
use hadsn::route::Addresses;
use hadsn::sys::clock::Deadline;

fn hostile() -> Vec<(&'static str, Behaviour, &'static str)> {
    let raw = |text: &str| Behaviour::Raw(text.as_bytes().to_vec());
    let body = |text: &str| Behaviour::Body(text.to_owned());
    let redirect = Behaviour::Status("302 Found", "location: http://127.0.0.1:1/cluster\r\n".to_owned());
    vec![
        ("empty", body(""), "answer is empty"),
        ("cut off", raw("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"members\":["), "broke off"),
        ("cut off in the head", raw("HTTP/1.1 200 OK\r\ncont"), "broke off"),
        ("not HTTP", raw("SSH-2.0-OpenSSH_9.2\r\n"), "not a usable HTTP answer"),
        ("not JSON", body("it works"), "not usable JSON"),
        ("HTML", body("<html><body>502 Bad Gateway</body></html>"), "not usable JSON"),
        ("10 MB", body(&format!("{{\"members\":[],\"x\":\"{}\"}}", "y".repeat(10_000_000))), "larger than 1 MiB"),
        ("1,000 levels", body(&format!("{}{}", "[".repeat(1000), "]".repeat(1000))), "recursion limit"),
        ("no members", body("{}"), "no list of members"),
        ("members of a wrong type", body("{\"members\":7}"), "no list of members"),
        ("503", Behaviour::Status("503 Service Unavailable", String::new()), "answered 503"),
        ("404", Behaviour::Status("404 Not Found", String::new()), "answered 404"),
        ("a redirect", redirect, "answered 302: redirects are not followed"),
        ("closed", Behaviour::Close, "patroni 127.0.0.1"),
        ("silent", Behaviour::Silent, "no answer within 500ms"),
        ("a byte a second", Behaviour::Drip, "no answer within 500ms"),
    ]
}

#[test]
fn a_bad_answer_is_named_with_its_endpoint_within_the_timeout() {
    for (what, behaviour, reason) in hostile() {
        let fake = Fake::new(behaviour);
        let cluster = configured(&format!("patroni://{}/app?timeout=500ms", fake.endpoint()));
        let begun = Instant::now();
        let error = writer(&cluster).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{what} took {:?}", begun.elapsed());
        assert_eq!(error.kind(), Kind::Discovery, "{what}: {error}");
        assert!(error.message().contains(&format!("patroni {}", fake.endpoint())), "{what}: {error}");
        assert!(error.message().contains(reason), "{what}: {error}");
    }
}

#[test]
fn a_bad_answer_leaves_the_last_good_topology_in_use() {
    for (what, behaviour, _) in hostile() {
        let fake = Fake::healthy();
        let cluster = configured(&format!("patroni://{}/app?timeout=500ms", fake.endpoint()));
        assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
        fake.behave(behaviour);
        cluster.invalidate();
        assert_eq!(writer(&cluster).unwrap(), "10.0.0.1", "{what}");
        let status = cluster.status();
        assert!(status.error.is_some(), "{what}");
        assert_eq!(status.freshness.as_str(), "suspect", "{what}");
        assert_eq!(readers(&cluster).unwrap(), ["10.0.0.2"], "{what}");
    }
}

#[test]
fn the_last_good_topology_is_used_up_to_max_stale() {
    let fake = Fake::healthy();
    let sources = format!("patroni://{}/app?ttl=0s&max_stale=0s&timeout=500ms", fake.endpoint());
    let cluster = configured(&sources);
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    fake.behave(Behaviour::Close);
    let error = writer(&cluster).unwrap_err();
    assert_eq!(error.kind(), Kind::Discovery);
    assert!(error.message().contains("more than max_stale (0.0s)"), "{error}");
}

#[test]
fn a_silent_endpoint_costs_the_hedge_and_not_the_timeout() {
    let (silent, dripping, good) = (Fake::new(Behaviour::Silent), Fake::new(Behaviour::Drip), Fake::healthy());
    let sources = format!(
        "patroni://{},{},{},{}/app?timeout=60s&hedge=50ms",
        silent.endpoint(),
        dripping.endpoint(),
        refusing(),
        good.endpoint()
    );
    let cluster = configured(&sources);
    let begun = Instant::now();
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(cluster.status().answered_by, Some(format!("patroni {}", good.endpoint())));

    // The one that answered is asked first from then on, and alone.
    wait_until(|| silent.requests() == 2);
    cluster.invalidate();
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    assert_eq!((silent.requests(), good.requests()), (2, 2));
}

#[test]
fn a_slow_first_endpoint_may_still_win() {
    let (first, second) = (Fake::new(Behaviour::Silent), Fake::new(Behaviour::Silent));
    let sources = format!("patroni://{},{}/app?timeout=60s&hedge=50ms", first.endpoint(), second.endpoint());
    let cluster = configured(&sources);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(|| first.requests() == 1);
            first.behave(Behaviour::Body(cluster_of_one()));
        });
        // It is asked a second time, beside the other, after the hedge.
        assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    });
    assert_eq!(first.requests(), 2);
}

fn cluster_of_one() -> String {
    cluster(&[("pg1", "leader", "running", 1)])
}

#[test]
fn when_all_are_dead_each_is_named_with_its_reason() {
    let (html, silent, refusing) = (Fake::new(Behaviour::Body("<".into())), Fake::new(Behaviour::Silent), refusing());
    let sources = format!("patroni://{refusing},{},{}/app?timeout=500ms", html.endpoint(), silent.endpoint());
    let error = writer(&configured(&sources)).unwrap_err();
    assert_eq!(error.kind(), Kind::Discovery);
    for part in [
        format!("patroni {refusing}: connection refused"),
        format!("patroni {}: the answer is not usable JSON", html.endpoint()),
        format!("patroni {}: no answer within 500ms", silent.endpoint()),
    ] {
        assert!(error.message().contains(&part), "{error}");
    }
}

#[test]
fn a_second_source_is_asked_when_the_first_gives_no_answer() {
    let (silent, good) = (Fake::new(Behaviour::Silent), Fake::healthy());
    let cluster = configured(&format!("patroni://{}/app?timeout=2s patroni://{}", silent.endpoint(), good.endpoint()));
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    assert_eq!(cluster.topology(&Call::now(None)).unwrap().found.source, format!("patroni://{}", good.endpoint()));
}

#[test]
fn an_endpoint_that_knows_no_leader_loses_to_one_that_does() {
    let blind = Fake::new(Behaviour::Body(cluster(&[("pg1", "replica", "running", 1)])));
    let (silent, good) = (Fake::new(Behaviour::Silent), Fake::healthy());
    let sources = format!("patroni://{},{},{}/app", blind.endpoint(), silent.endpoint(), good.endpoint());
    assert_eq!(writer(&configured(&sources)).unwrap(), "10.0.0.1");
}

#[test]
fn no_leader_is_an_exception_of_its_own_after_the_failover_timeout() {
    for (what, members, reason) in [
        ("nobody", vec![("a", "replica", "running", 1)], "none of 1 members"),
        ("no members", vec![], "none of 0 members"),
        ("a standby cluster", vec![("a", "standby_leader", "running", 1)], "standby_leader"),
        ("a split", vec![("a", "leader", "running", 2), ("b", "leader", "running", 2)], "both claim"),
        ("a stopped leader", vec![("a", "leader", "stopped", 2)], "in state \"stopped\""),
    ] {
        let fake = Fake::new(Behaviour::Body(cluster(&members)));
        let cluster = configured(&format!("patroni://{}/app", fake.endpoint()));
        let begun = Instant::now();
        let error = writer(&cluster).unwrap_err();
        assert_eq!(error.kind(), Kind::NoLeader, "{what}: {error}");
        assert!(error.message().contains(reason), "{what}: {error}");
        assert!(error.message().contains(&fake.endpoint()), "{what}: {error}");
        assert!(begun.elapsed() >= Duration::from_millis(300), "{what}");
        assert!(fake.requests() > 1, "{what}: it has to look again");
    }
}

#[test]
fn of_two_leaders_the_higher_timeline_is_written_to() {
    let members = [("old", "leader", "running", 4), ("new", "leader", "running", 5)];
    let fake = Fake::new(Behaviour::Body(cluster(&members)));
    assert_eq!(writer(&configured(&format!("patroni://{}/app", fake.endpoint()))).unwrap(), "10.0.0.2");
}

#[test]
fn an_endpoint_that_lags_behind_does_not_bring_the_old_leader_back() {
    let new = cluster(&[("a", "replica", "streaming", 5), ("b", "leader", "running", 5)]);
    let old = cluster(&[("a", "leader", "running", 4), ("b", "replica", "streaming", 4)]);
    let (lagging, current) = (Fake::new(Behaviour::Body(new.clone())), Fake::new(Behaviour::Body(new)));
    let sources = format!("patroni://{},{}/app", lagging.endpoint(), current.endpoint());
    let cluster_under_test = configured(&sources);
    assert_eq!(writer(&cluster_under_test).unwrap(), "10.0.0.2");
    lagging.behave(Behaviour::Body(old.clone()));
    cluster_under_test.invalidate();
    assert_eq!(writer(&cluster_under_test).unwrap(), "10.0.0.2");
    // When all agree on it, the cluster was set back (point-in-time recovery).
    lagging.behave(Behaviour::Body(old.clone()));
    current.behave(Behaviour::Body(old));
    cluster_under_test.invalidate();
    assert_eq!(writer(&cluster_under_test).unwrap(), "10.0.0.1");
}

#[test]
fn the_new_leader_is_handed_out_as_soon_as_it_is_there() {
    let fake = Fake::new(Behaviour::Body(cluster(&[("a", "replica", "running", 1), ("b", "replica", "running", 1)])));
    let cluster_under_test = configured(&format!("patroni://{}/app?failover_timeout=60s", fake.endpoint()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(|| fake.requests() >= 3);
            let members = [("a", "replica", "streaming", 2), ("b", "leader", "running", 2)];
            fake.behave(Behaviour::Body(cluster(&members)));
        });
        assert_eq!(writer(&cluster_under_test).unwrap(), "10.0.0.2");
    });
    assert!(fake.requests() < 12, "{} requests: it asked in a tight loop", fake.requests());
}

#[test]
fn reads_go_on_while_there_is_no_leader() {
    let members = [("a", "replica", "running", 1), ("b", "sync_standby", "streaming", 1)];
    let fake = Fake::new(Behaviour::Body(cluster(&members)));
    let cluster = configured(&format!("patroni://{}/app?failover_timeout=60s", fake.endpoint()));
    for _ in 0..20 {
        assert_eq!(readers(&cluster).unwrap(), ["10.0.0.1", "10.0.0.2"]);
        cluster.invalidate();
    }
    assert!(fake.requests() <= 6, "{} requests in an instant", fake.requests());
}

#[test]
fn a_leader_outside_allow_hosts_is_refused_at_once() {
    let fake = Fake::healthy();
    let sources = format!("patroni://{}/app?allow_hosts=192.168.0.0/16&failover_timeout=60s", fake.endpoint());
    let begun = Instant::now();
    let error = writer(&configured(&sources)).unwrap_err();
    assert_eq!(error.kind(), Kind::NoLeader);
    assert!(error.message().contains("\"10.0.0.1:5432\" is outside allow_hosts"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_lie_about_a_foreign_leader_loses_to_the_truth() {
    let liar = Fake::new(Behaviour::Body(
        r#"{"members":[{"name":"x","role":"leader","state":"running","host":"203.0.113.1","port":5432,"timeline":99}]}"#.into(),
    ));
    let good = Fake::healthy();
    let sources = format!("patroni://{},{}/app?allow_hosts=10.0.0.0/8", liar.endpoint(), good.endpoint());
    assert_eq!(writer(&configured(&sources)).unwrap(), "10.0.0.1");
}

#[test]
fn a_host_that_does_not_resolve_is_no_leader() {
    let body =
        r#"{"members":[{"name":"x","role":"leader","state":"running","host":"no-such-host.invalid","port":5432}]}"#;
    let fake = Fake::new(Behaviour::Body(body.into()));
    let error = writer(&configured(&format!("patroni://{}/app", fake.endpoint()))).unwrap_err();
    assert_eq!(error.kind(), Kind::NoLeader);
    assert!(error.message().contains("\"no-such-host.invalid\" could not be resolved"), "{error}");
}

#[test]
fn a_name_that_resolves_no_more_keeps_its_address() {
    let body =
        r#"{"members":[{"name":"x","role":"leader","state":"running","host":"no-such-host.invalid","port":5432}]}"#;
    let fake = Fake::new(Behaviour::Body(body.into()));
    let config = Arc::new(Config::parse(&format!("patroni://{}/app", fake.endpoint())).unwrap());
    let addresses = Addresses::from([
        ("no-such-host.invalid".to_owned(), "10.0.0.1".parse().unwrap()),
        ("gone.invalid".to_owned(), "10.0.0.2".parse().unwrap()),
    ]);
    let memory = Memory { addresses, ..Memory::default() };
    let deadline = Deadline::after(Duration::from_secs(5));
    let found = discover(&config, &memory, None, deadline).result.unwrap();
    assert_eq!(found.addresses, Addresses::from([("no-such-host.invalid".to_owned(), "10.0.0.1".parse().unwrap())]));
}

#[test]
fn the_request_is_what_patroni_expects_and_carries_the_credentials() {
    let fake = Fake::healthy();
    let sources = format!("patroni://localhost:{}/app?patroni_user=admin&patroni_password=p%26w&timeout=5s", fake.port);
    let cluster = configured(&sources);
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    let request = fake.last_request().to_ascii_lowercase();
    assert!(request.starts_with("get /cluster http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: localhost:{}\r\n", fake.port)), "{request}");
    assert!(request.contains("connection: close\r\n"), "{request}");
    // admin:p&w
    assert!(fake.last_request().contains("Basic YWRtaW46cCZ3\r\n"), "{request}");
    assert!(!cluster.status().source.contains("p%26w"));
}
