//! What is handed out: for how long, and which replicas.
//!
//! A step of the system's clock is not made here, since no test may set it. Of all that is kept only the cache in front
//! of an answer looks at that clock: `clocks_that_part_are_not_trusted` in `src/sys/clock.rs` covers it. Ages count by
//! `CLOCK_BOOTTIME`, which can't be set.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "others use the rest")]
mod fake {
    pub mod caller;
    pub mod server;
    pub mod site;
}

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use fake::caller::{configured, readers, wait_until, writer};
use fake::server::{Server, refusing, request, respond};
use fake::site::{Manner, Site};
use hadsn::cluster::{Answer, Call, Cluster, Step, Wish};
use hadsn::error::Kind;
use hadsn::route::Route;

#[test]
fn an_answer_never_serves_longer_than_the_window() {
    let site = Site::new(2);
    for (options, writes_for, reads_for) in [
        ("poll=100ms&timeout=30s&ttl=5s", 5000, 5000),
        ("poll=1s&timeout=2s&ttl=10s", 4000, 10_000),
        ("poll=1s&timeout=2s&ttl=3s", 3000, 3000),
        ("poll=1s&timeout=2s&ttl=0s", 0, 0),
    ] {
        let cluster = configured(&format!("patroni://{}/app?{options}", site.endpoints()));
        let mut last = Duration::MAX;
        for _ in 0..5 {
            let valid_for = ready(cluster.writer(&Call::now(None))).valid_for;
            assert!(valid_for <= Duration::from_millis(writes_for), "{options}: {valid_for:?}");
            // It gets older, and no call makes it younger.
            assert!(valid_for <= last, "{options}");
            last = valid_for;
            let valid_for = ready(cluster.reader(Wish::default(), &Call::now(None))).valid_for;
            assert!(valid_for <= Duration::from_millis(reads_for), "{options}: {valid_for:?}");
        }
    }
}

#[test]
fn an_answer_counts_from_the_moment_it_was_asked_for() {
    let delay = Duration::from_millis(300);
    let server = Server::new(move |mut stream| {
        let Some(_) = request(&mut stream) else { return };
        thread::sleep(delay);
        respond(
            &mut stream,
            r#"{"members":[{"name":"a","role":"leader","state":"running","host":"10.0.0.1","port":5432,"timeline":1}]}"#,
        );
    });
    let cluster = configured(&format!("patroni://{}/app?poll=1s&timeout=8s&ttl=10s&hedge=5s", server.endpoint()));
    let answer = ready(cluster.writer(&Call::now(None)));
    assert!(answer.valid_for <= Duration::from_secs(10) - delay, "{:?}", answer.valid_for);
}

#[test]
fn while_all_are_silent_an_answer_serves_no_longer_than_max_stale() {
    let site = Site::new(1);
    let cluster = configured(&format!("patroni://{}/app?timeout=100ms&ttl=10s&max_stale=1s", site.endpoint(0)));
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    site.behave(0, Manner::Dead);
    cluster.invalidate();
    let answer = ready(cluster.writer(&Call::now(None)));
    assert!(answer.valid_for <= Duration::from_secs(1), "{:?}", answer.valid_for);
    let mut error = None;
    wait_until(|| {
        error = writer(&cluster).err();
        error.is_some()
    });
    let error = error.unwrap();
    assert!(error.kind() == Kind::Discovery && error.message().contains("more than max_stale (1.0s)"), "{error}");
}

fn reader_routes(cluster: &Cluster) -> Vec<Route> {
    ready(cluster.reader(Wish::default(), &Call::now(None))).routes
}

#[test]
fn a_replica_that_refuses_is_left_out_and_never_all_of_them() {
    let site = Site::new(4);
    let cluster = configured(&format!("patroni://{}/app", site.endpoints()));
    let all = reader_routes(&cluster);
    assert_eq!(readers(&cluster).unwrap(), ["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    let epoch = cluster.epoch();
    cluster.refused(&all[0]);
    assert_ne!(cluster.epoch(), epoch, "answers that were handed out before still count");
    assert_eq!(readers(&cluster).unwrap(), ["10.0.0.3", "10.0.0.4"]);
    let answer = ready(cluster.reader(Wish::default(), &Call::now(None)));
    assert!(answer.valid_for <= Duration::from_secs(5), "{:?}", answer.valid_for);
    cluster.refused(&all[2]);
    assert_eq!(readers(&cluster).unwrap(), ["10.0.0.3"]);
    cluster.refused(&all[1]);
    assert_eq!(readers(&cluster).unwrap(), ["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
}

#[test]
fn every_strategy_reads_from_replicas() {
    let site = Site::new(3);
    // Its replicas are here, for their distance is measured.
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    site.change(|truth| {
        for (node, port) in truth.nodes[1..].iter_mut().zip(ports) {
            (node.host, node.port) = ("127.0.0.1".to_owned(), port);
        }
    });
    for strategy in ["round_robin", "random", "least_lag", "nearest"] {
        let cluster = configured(&format!("patroni://{}/app?reader={strategy}", site.endpoints()));
        let routes = reader_routes(&cluster);
        assert!(!routes.is_empty() && routes.iter().all(|route| ports.contains(&route.port)), "{strategy}: {routes:?}");
        assert!((0..100).all(|_| cluster.pick(routes.len()) < routes.len()));
    }
}

#[test]
fn the_nearest_replica_is_one_that_can_be_connected_to() {
    let site = Site::new(3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [refusing().port(), listener.local_addr().unwrap().port()];
    site.change(|truth| {
        for (node, port) in truth.nodes[1..].iter_mut().zip(ports) {
            (node.host, node.port) = ("127.0.0.1".to_owned(), port);
        }
    });
    let cluster = configured(&format!("patroni://{}/app?reader=nearest", site.endpoints()));
    let routes: Vec<u16> = reader_routes(&cluster).iter().map(|route| route.port).collect();
    assert_eq!(routes, [ports[1]]);
    // Where none can be, all stay.
    drop(listener);
    let cluster = configured(&format!("patroni://{}/app?reader=nearest", site.endpoints()));
    assert_eq!(reader_routes(&cluster).len(), 2);
}

fn ready(step: Step) -> Answer {
    match step {
        Step::Ready(answer) => answer,
        other => panic!("{other:?}"),
    }
}
