//! Whole clusters behind each kind of source, from the look to the writer: who is asked, who is believed, and who is not.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod fake {
    #[allow(dead_code, reason = "other tests use the rest")]
    pub mod nodes;
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake::nodes::Site;
use hadsn::cluster::{Call, Cluster, Step};
use hadsn::config::Config;
use hadsn::discovery::{Found, Memory, discover};
use hadsn::error::Error;
use hadsn::sys::clock::Deadline;

const SYSTEM: u64 = 7_350_211_234_567_890_123;
const FOREIGN: u64 = 7_000_000_000_000_000_001;

fn configured(sources: &str) -> Cluster {
    Cluster::new(Config::parse(sources).unwrap(), Duration::from_millis(300))
}

/// Takes steps as the extension does.
fn settle(step: impl Fn(&Call) -> Step) -> Result<Vec<String>, Error> {
    let call = Call::now(None);
    loop {
        match step(&call) {
            Step::Ready(answer) => return Ok(answer.routes.iter().map(|route| route.host.to_string()).collect()),
            Step::Failed(error) => return Err(error),
            Step::Wait(span) => std::thread::sleep(span),
        }
    }
}

fn writer(cluster: &Cluster) -> Result<String, Error> {
    settle(|call| cluster.writer(call)).map(|hosts| hosts.join(","))
}

/// One who looks again and again, as often as a test likes: a cluster does so four times a second at most.
struct Reader {
    config: Arc<Config>,
    memory: Memory,
}

impl Reader {
    fn of(sources: &str) -> Self {
        Self { config: Arc::new(Config::parse(sources).unwrap()), memory: Memory::default() }
    }

    fn of_site(site: &Site) -> Self {
        Self::of(&format!("patroni://{}/app?timeout=5s", site.endpoints()))
    }

    fn look(&mut self) -> Result<Found, Error> {
        let look = discover(&self.config, &self.memory, None, Deadline::after(self.config.timing.timeout));
        self.memory = look.memory;
        look.result
    }

    /// Where the leader is.
    fn writer(&mut self) -> Result<String, String> {
        let leader = self.look().map_err(|error| error.to_string())?.leader;
        leader.map(|leader| leader.endpoint.host.to_string())
    }

    /// Where the others are.
    fn replicas(&mut self) -> Vec<String> {
        let found = self.look().unwrap();
        let others = found
            .topology
            .members
            .iter()
            .filter(|member| Ok(&member.endpoint) != found.leader.as_ref().map(|l| &l.endpoint));
        others.map(|member| member.endpoint.host.to_string()).collect()
    }
}

fn is_refused(outcome: Result<String, String>, reason: &str) {
    let text = outcome.unwrap_err();
    assert!(text.contains(reason), "{text}");
}

fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: it did not come to pass");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_look_in_steady_state_is_one_request_and_the_first_one_two() {
    let site = Site::new("pg", "10.0.0", 3, SYSTEM);
    let mut reader = Reader::of_site(&site);
    for _ in 0..3 {
        assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    }
    assert_eq!(site.nodes[0].paths(), ["/cluster", "/patroni", "/cluster", "/cluster"]);
    assert!(site.nodes[1].paths().is_empty() && site.nodes[2].paths().is_empty());
    assert_eq!(reader.look().unwrap().system, Some(SYSTEM));
}

#[test]
fn a_leader_that_is_still_promoting_is_waited_for() {
    let site = Site::new("pg", "10.0.0", 3, SYSTEM);
    let cluster = configured(&format!("patroni://{}/app?failover_timeout=60s", site.endpoints()));
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    site.is_led_by(1, 2);
    site.nodes[1].is("running", "replica", 2, SYSTEM);
    let asked = site.nodes[1].paths().len();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            await_that("it is asked again", || site.nodes[1].paths().len() >= asked + 4);
            site.is_led_by(1, 2);
        });
        assert_eq!(
            {
                cluster.invalidate();
                writer(&cluster)
            }
            .unwrap(),
            "10.0.0.2"
        );
    });
    // Who verifies the server on the connection need not wait.
    site.is_led_by(2, 3);
    site.nodes[2].is("starting", "replica", 3, SYSTEM);
    cluster.invalidate();
    assert_eq!(settle(|call| cluster.candidate(call)).unwrap(), ["10.0.0.3"]);
}

#[test]
fn a_leader_that_cannot_be_asked_is_not_moved_to_unless_another_way_leads_to_it() {
    let site = Site::new("pg", "10.0.0", 3, SYSTEM);
    let mut reader = Reader::of_site(&site);
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    site.is_led_by(1, 2);
    // It announces an API that nobody answers at, as behind a NAT.
    let unreachable =
        site.cluster(Some(1), 2).replace(&format!("{}/patroni", site.nodes[1].endpoint()), "127.0.0.1:9/patroni");
    site.nodes.iter().for_each(|node| node.tells_cluster(unreachable.clone()));
    assert_eq!(reader.writer().unwrap(), "10.0.0.2", "the endpoint of that name has confirmed it");

    let mut reader = Reader::of(&format!("patroni://{}/app?timeout=500ms", site.nodes[0].endpoint()));
    site.is_led_by(0, 2);
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    site.is_led_by(1, 3);
    site.nodes[1].falls_silent(true);
    is_refused(reader.writer(), "\"pg2\" is named the leader, and can't be confirmed");
}

#[test]
fn a_replica_that_calls_itself_the_leader_is_not_believed() {
    let site = Site::new("pg", "10.0.0", 3, SYSTEM);
    site.is_led_by(0, 5);
    let mut reader = Reader::of_site(&site);
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    for timeline in [4, 5, 99] {
        site.nodes[0].tells_cluster(site.cluster(Some(1), timeline));
        assert_eq!(reader.writer().unwrap(), "10.0.0.1", "timeline {timeline}");
    }
    // The leader itself, with a made-up timeline: the true one is not taken for a lower one afterwards.
    site.nodes[0].tells_cluster(site.cluster(Some(0), 99));
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    site.is_led_by(1, 6);
    assert_eq!(reader.writer().unwrap(), "10.0.0.2");
}

#[test]
fn an_endpoint_of_another_cluster_in_the_list_does_no_harm() {
    for scope in ["pg", "other"] {
        for place in 0..3 {
            let (site, other) = (Site::new("pg", "10.0.0", 2, SYSTEM), Site::new(scope, "10.9.9", 1, FOREIGN));
            site.is_led_by(0, 3);
            other.is_led_by(0, 7);
            let mut endpoints = vec![site.nodes[0].endpoint(), site.nodes[1].endpoint()];
            endpoints.insert(place, other.nodes[0].endpoint());
            let mut reader = Reader::of(&format!("patroni://{}/app?timeout=5s", endpoints.join(",")));
            for _ in 0..3 {
                assert_eq!(reader.writer().unwrap(), "10.0.0.1", "scope {scope}, place {place}");
            }
            // Ours has no leader: the other's is none of ours, and its members are not read from.
            site.nodes.iter().for_each(|node| node.tells_cluster(site.cluster(None, 3)));
            assert!(reader.writer().is_err());
            assert!(reader.replicas().iter().all(|host| host.starts_with("10.0.0.")));
        }
    }
}

#[test]
fn of_two_clusters_with_as_many_endpoints_none_is_chosen() {
    let (site, other) = (Site::new("pg", "10.0.0", 1, SYSTEM), Site::new("other", "10.9.9", 1, FOREIGN));
    let mut reader = Reader::of(&format!("patroni://{},{}/app", site.endpoints(), other.endpoints()));
    is_refused(reader.writer(), "lead different clusters");
}

#[test]
fn a_restored_cluster_is_taken_when_all_agree_or_the_past_is_forgotten() {
    let site = Site::new("pg", "10.0.0", 3, SYSTEM);
    site.is_led_by(0, 5);
    let mut reader = Reader::of_site(&site);
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    let half_way = || {
        site.is_led_by(1, 3);
        site.nodes[2].tells_cluster(site.cluster(None, 5));
    };
    half_way();
    is_refused(reader.writer(), "timeline 3, while timeline 5 was confirmed before");
    site.is_led_by(1, 3);
    assert_eq!(reader.writer().unwrap(), "10.0.0.2");

    site.is_led_by(0, 5);
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    half_way();
    is_refused(reader.writer(), "HaDsn::forget()");
    reader.memory.forget();
    assert_eq!(reader.writer().unwrap(), "10.0.0.2");
}

#[test]
fn a_cluster_that_was_made_anew_is_taken_when_all_agree() {
    let site = Site::new("pg", "10.0.0", 3, SYSTEM);
    site.is_led_by(0, 5);
    let mut reader = Reader::of_site(&site);
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    site.is_led_by(1, 1);
    site.nodes.iter().for_each(|node| node.is("running", "replica", 1, FOREIGN));
    site.nodes[1].is("running", "primary", 1, FOREIGN);
    assert_eq!(reader.writer().unwrap(), "10.0.0.2");
    assert_eq!(reader.look().unwrap().system, Some(FOREIGN));
}

#[test]
fn members_may_come_go_and_change_their_addresses() {
    let site = Site::new("pg", "10.0.0", 3, SYSTEM);
    let mut reader = Reader::of_site(&site);
    assert_eq!((reader.writer().as_deref(), reader.replicas().len()), (Ok("10.0.0.1"), 2));
    let tell = |body: String| site.nodes.iter().for_each(|node| node.tells_cluster(body.clone()));

    // The leader and a replica have new addresses, on the same timeline.
    tell(site.cluster(Some(0), 1).replace("10.0.0.1", "10.0.7.1").replace("10.0.0.2", "10.0.7.2"));
    assert_eq!(reader.writer().unwrap(), "10.0.7.1");
    assert_eq!(reader.replicas(), ["10.0.7.2", "10.0.0.3"]);

    // One is gone, and another one is there.
    tell(site.cluster(Some(0), 1).replace("10.0.0.3", "10.0.8.8").replace("pg3", "pg9").replace("10.0.0.2", ""));
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    assert_eq!(reader.replicas(), ["10.0.8.8"]);
}

#[test]
fn a_standby_cluster_is_written_to_when_it_is_promoted_and_not_before() {
    for is_one_list in [false, true] {
        let (site, dr) = (Site::new("pg", "10.0.0", 2, SYSTEM), Site::new("dr", "10.1.0", 1, SYSTEM));
        site.is_led_by(0, 3);
        dr.is_standby(3);
        let sources = match is_one_list {
            true => format!("patroni://{},{}/app?timeout=2s", dr.endpoints(), site.endpoints()),
            false => format!("patroni://{}/app?timeout=2s patroni://{}", site.endpoints(), dr.endpoints()),
        };
        let mut reader = Reader::of(&sources);
        assert_eq!(reader.writer().unwrap(), "10.0.0.1");
        site.falls_silent(true);
        assert!(reader.writer().is_err(), "dr is a standby cluster");
        assert_eq!(reader.replicas(), ["10.1.0.1"], "and can be read from");
        dr.is_led_by(0, 4);
        assert_eq!(reader.writer().unwrap(), "10.1.0.1");
        // The old site comes back with its old leader, and later with one on the same timeline.
        site.falls_silent(false);
        assert_eq!(reader.writer().unwrap(), "10.1.0.1");
        site.is_led_by(1, 4);
        assert_eq!(reader.writer().unwrap(), "10.1.0.1");
    }
}

#[test]
fn the_next_source_is_asked_when_the_one_before_is_silent_and_then_soon() {
    let (first, second) = (Site::new("pg", "10.0.0", 1, SYSTEM), Site::new("pg", "10.0.0", 1, SYSTEM));
    let sources = format!("patroni://{}/app?timeout=2s&hedge=20ms patroni://{}", first.endpoints(), second.endpoints());
    let mut reader = Reader::of(&sources);
    assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    assert!(second.nodes[0].paths().is_empty());
    first.falls_silent(true);
    assert_eq!(reader.look().unwrap().answered_by, format!("patroni {}", second.endpoints()));
    // Known to be silent, it gets the hedge only: many looks take less than one half of the timeout each would.
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(reader.writer().unwrap(), "10.0.0.1");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    first.falls_silent(false);
    await_that("the first source is asked first again", || {
        reader.look().unwrap().answered_by == format!("patroni {}", first.endpoints())
    });
}

#[test]
fn one_that_comes_after_the_leaders_crash_waits_for_the_next_and_reads_meanwhile() {
    let site = Site::new("pg", "10.0.0", 3, SYSTEM);
    site.nodes[0].falls_silent(true);
    let members = site.cluster(None, 1);
    // The dead one is not among the members any more.
    let (head, tail) = members.split_once("},").unwrap();
    let scope = head.split_once('{').map(|(start, _)| format!("{start}{{\"members\":[{tail}")).unwrap();
    site.nodes.iter().for_each(|node| node.tells_cluster(scope.clone()));
    let mut reader = Reader::of(&format!("patroni://{}/app?timeout=2s&hedge=50ms", site.endpoints()));
    is_refused(reader.writer(), "none of 2 members is the leader");
    assert_eq!(reader.replicas(), ["10.0.0.2", "10.0.0.3"]);
}
