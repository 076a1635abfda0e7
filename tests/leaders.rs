//! Whom to believe: nodes that lag, lie, fall silent, belong to another cluster or come back from the past.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "others use the rest")]
mod fake {
    pub mod caller;
    pub mod server;
    pub mod site;
}

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fake::caller::{Watcher, assert_nobody, configured, readers, wait_until, writer};
use fake::server::{Server, refusing};
use fake::site::{Manner, Site};
use hadsn::error::Kind;

/// No test is about time unless it says so: a machine that is slow must not make others be asked.
const CALM: &str = "timeout=60s&hedge=30s";

/// Whoever does not answer is given up on soon.
const BRISK: &str = "timeout=1s&hedge=100ms";

fn watching(site: &Site, options: &str) -> Watcher {
    Watcher::new(&format!("patroni://{}/app?{options}", site.endpoints()))
}

/// Someone who knows that `pg1` leads.
fn knowing(site: &Site, options: &str) -> Watcher {
    let mut watcher = watching(site, options);
    assert_eq!(watcher.writer().unwrap(), "pg1");
    watcher
}

#[test]
fn the_writer_moves_to_a_leader_that_confirms_it() {
    let site = Site::new(3);
    let mut watcher = knowing(&site, CALM);
    assert_eq!((site.asked(0, "/cluster"), site.asked(0, "/patroni"), site.requests()), (1, 1, 2));
    site.promote(1);
    assert_eq!(watcher.writer().unwrap(), "pg2");
    // The endpoint that answered the last time was asked, and the new leader itself.
    assert_eq!((site.asked(0, "/cluster"), site.asked(1, "/patroni"), site.requests()), (2, 1, 4));
    assert_eq!(watcher.memory.beliefs.highest, Some(2));
}

#[test]
fn keeping_the_writer_costs_one_request() {
    let site = Site::new(3);
    let mut watcher = knowing(&site, CALM);
    for looks in 1..=10 {
        assert_eq!(watcher.writer().unwrap(), "pg1");
        assert_eq!((site.asked(0, "/patroni"), site.requests()), (1, 2 + looks));
    }
}

#[test]
fn a_leader_that_is_still_promoting_is_waited_for() {
    let site = Site::new(3);
    let cluster = configured(&format!("patroni://{}/app?failover_timeout=60s", site.endpoints()));
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    site.change(|truth| {
        truth.promote(1);
        truth.nodes[1].is_primary = false;
    });
    cluster.invalidate();
    let is_promoted = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(|| site.asked(1, "/patroni") >= 3);
            is_promoted.store(true, Ordering::SeqCst);
            site.change(|truth| truth.nodes[1].is_primary = true);
        });
        assert_eq!(writer(&cluster).unwrap(), "10.0.0.2");
        assert!(is_promoted.load(Ordering::SeqCst), "handed out before it was a primary");
    });
}

#[test]
fn a_leader_that_never_gets_promoted_is_an_exception_that_says_so() {
    let site = Site::new(3);
    let cluster = configured(&format!("patroni://{}/app", site.endpoints()));
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    site.change(|truth| {
        truth.promote(1);
        truth.nodes[1].is_primary = false;
    });
    cluster.invalidate();
    let error = writer(&cluster).unwrap_err();
    assert_eq!(error.kind(), Kind::NoLeader);
    let reason = r#""pg2" is named the leader, and by its own word it is a "replica" in state "running""#;
    assert!(error.message().contains(reason), "{error}");
    assert_eq!(readers(&cluster).unwrap(), ["10.0.0.1", "10.0.0.3"]);
}

#[test]
fn a_new_leader_that_does_not_run_is_not_moved_to() {
    let site = Site::new(3);
    let mut watcher = knowing(&site, CALM);
    site.promote(1);
    for state in ["starting", "stopping", "crashed", "restarting", ""] {
        site.change(|truth| truth.nodes[1].state = state);
        let reason = format!(r#"by its own word it is a "primary" in state "{state}""#);
        assert_nobody(watcher.writer(), &[&reason]);
    }
    site.change(|truth| truth.nodes[1].state = "running");
    assert_eq!(watcher.writer().unwrap(), "pg2");
}

#[test]
fn a_new_leader_whose_api_is_silent_is_not_moved_to() {
    for (manner, reason) in [(Manner::Silent, "no answer within 1s"), (Manner::Dead, "broke off")] {
        let site = Site::new(3);
        let mut watcher = knowing(&site, BRISK);
        site.promote(1);
        site.behave(1, manner);
        let named = format!(r#""pg2" is named the leader, and can't be confirmed: its API {}: "#, site.endpoint(1));
        assert_nobody(watcher.writer(), &[&named, reason]);
        site.behave(1, Manner::Answering);
        assert_eq!(watcher.writer().unwrap(), "pg2");
    }
}

#[test]
fn an_endpoint_with_the_members_name_confirms_it_where_its_address_does_not() {
    // Behind NAT nobody is at the announced address, or somebody else.
    let nobody = format!("http://{}/patroni", refusing());
    let site = Site::new(3);
    let somebody = format!("http://{}/patroni", site.endpoint(2));
    for (url, leader, name) in [(nobody, 1, "pg2"), (somebody, 0, "pg1")] {
        let mut watcher = watching(&site, BRISK);
        watcher.writer().unwrap();
        assert!(watcher.memory.beliefs.is_confirmed());
        site.promote(leader);
        site.change(|truth| truth.nodes[leader].api_url = url);
        assert_eq!(watcher.writer().unwrap(), name);
        assert_eq!(watcher.memory.beliefs.highest, Some(site.truth().nodes[0].timeline));
        site.change(|truth| truth.nodes[leader].api_url = format!("http://{}/patroni", site.endpoint(leader)));
    }
}

#[test]
fn where_no_api_was_ever_reached_the_endpoints_are_believed() {
    let site = Site::new(3);
    let url = format!("http://{}/patroni", refusing());
    site.change(|truth| truth.nodes.iter_mut().for_each(|node| node.api_url.clone_from(&url)));
    let mut watcher = knowing(&site, CALM);
    assert!(!watcher.memory.beliefs.is_confirmed());
    site.promote(1);
    assert_eq!(watcher.writer().unwrap(), "pg2");
    // From the first time on that one confirms it the others have to.
    site.change(|truth| {
        truth.promote(2);
        truth.nodes[2].api_url = format!("http://{}/patroni", site.endpoint(2));
    });
    assert_eq!(watcher.writer().unwrap(), "pg3");
    site.behave(1, Manner::Dead);
    site.promote(1);
    assert_nobody(watcher.writer(), &["can't be confirmed"]);
}

#[test]
fn an_api_outside_allow_hosts_is_never_connected_to() {
    let site = Site::new(2);
    let elsewhere = Server::at("127.0.3.1".parse().unwrap(), |_| {});
    site.change(|truth| truth.nodes[0].api_url = format!("http://{}/patroni", elsewhere.endpoint()));
    let mut watcher = knowing(&site, "allow_hosts=127.0.0.1/32,10.0.0.0/8");
    site.promote(1);
    site.change(|truth| truth.nodes[1].api_url = format!("http://{}/patroni", elsewhere.endpoint()));
    let _ = watcher.writer();
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_replica_that_calls_itself_the_leader_is_not_believed() {
    let site = Site::new(3);
    site.change(|truth| truth.lead(0, 5));
    // With a lower timeline and with a made-up higher one.
    for timeline in [4, 5, 6, 99, u32::MAX] {
        site.claim(2, |lie| lie.lead(2, timeline));
        // It is the first in the list, or the one that answered the last time.
        let list = format!("patroni://{},{},{}/app?{CALM}", site.endpoint(2), site.endpoint(0), site.endpoint(1));
        let mut stranger = Watcher::new(&list);
        assert_eq!(stranger.writer().unwrap(), "pg1", "timeline {timeline}");
        assert_eq!(stranger.writer().unwrap(), "pg1", "timeline {timeline}");
        assert_eq!(stranger.memory.beliefs.highest, Some(5));
        let mut watcher = knowing(&site, CALM);
        site.behave(0, Manner::Dead);
        let _ = watcher.writer();
        site.behave(0, Manner::Answering);
        assert_eq!(watcher.writer().unwrap(), "pg1", "timeline {timeline}");
        site.reconnect(2);
    }
}

#[test]
fn a_made_up_timeline_of_the_true_leader_does_not_shut_out_the_next() {
    let site = Site::new(3);
    site.change(|truth| truth.lead(0, 5));
    site.claim(0, |lie| lie.lead(0, 99));
    let mut watcher = knowing(&site, CALM);
    assert_eq!(watcher.memory.beliefs.highest, Some(5));
    site.promote(1);
    site.reconnect(0);
    assert_eq!(watcher.writer().unwrap(), "pg2");
}

#[test]
fn a_deposed_leader_that_runs_on_as_a_primary_does_not_come_back() {
    let site = Site::new(3);
    let mut cut_off_with_it = knowing(&site, CALM);
    // It believes that it leads, and everybody who asks it hears so.
    site.cut_off(0);
    site.change(|truth| {
        truth.promote(1);
        (truth.nodes[0].is_primary, truth.nodes[0].timeline) = (true, 1);
    });
    let list = [1, 2, 0].map(|node| site.endpoint(node)).join(",");
    let mut watcher = Watcher::new(&format!("patroni://{list}/app?{CALM}"));
    assert_eq!(watcher.writer().unwrap(), "pg2");
    site.behave(1, Manner::Dead);
    site.behave(2, Manner::Dead);
    let reason = r#""pg1" is named the leader, and is on timeline 1, while timeline 2 was confirmed before"#;
    assert_nobody(watcher.writer(), &[reason]);
    site.behave_all(Manner::Answering);
    assert_eq!(watcher.writer().unwrap(), "pg2");
    // Who has only ever heard the old one keeps it, until it answers no more.
    assert_eq!(cut_off_with_it.writer().unwrap(), "pg1");
    site.behave(0, Manner::Dead);
    assert_eq!(cut_off_with_it.writer().unwrap(), "pg2");
    site.behave(0, Manner::Answering);
    assert_eq!(cut_off_with_it.writer().unwrap(), "pg2");
}

/// The endpoints of `site`, with a stranger's in front, in the middle and at the end.
fn mixed(site: &Site, stranger: &Site) -> [String; 3] {
    [0, 1, 3].map(|place| {
        let mut endpoints: Vec<String> = (0..3).map(|node| site.endpoint(node)).collect();
        endpoints.insert(place, stranger.endpoint(0));
        format!("patroni://{}/app?{CALM}", endpoints.join(","))
    })
}

/// Of another scope; and of the same scope, with another system identifier, on a higher timeline.
fn strangers() -> [Site; 2] {
    let sites = [("other", 9009), ("app", 9009)].map(|(scope, system)| Site::of(scope, system, "x", "10.0.9", 1));
    sites[1].change(|truth| truth.lead(0, 40));
    sites
}

#[test]
fn an_endpoint_of_another_cluster_is_not_listened_to_wherever_it_stands() {
    for stranger in strangers() {
        let site = Site::new(3);
        for list in mixed(&site, &stranger) {
            let mut watcher = Watcher::new(&list);
            assert_eq!(watcher.writer().unwrap(), "pg1", "{list}");
            // All others are asked, and the stranger too, when the one that answered falls out.
            for node in [0, 1] {
                site.behave(node, Manner::Dead);
                assert_eq!(watcher.writer().unwrap(), "pg1", "{list}");
            }
            site.behave_all(Manner::Answering);
            site.promote(2);
            assert_eq!(watcher.writer().unwrap(), "pg3", "{list}");
            assert_eq!(watcher.memory.beliefs.system, Some(7001));
            site.promote(0);
        }
    }
}

#[test]
fn when_only_an_endpoint_of_another_cluster_answers_nobody_is_written_to() {
    for stranger in strangers() {
        let site = Site::new(3);
        for list in mixed(&site, &stranger) {
            let mut watcher = Watcher::new(&list);
            assert_eq!(watcher.writer().unwrap(), "pg1");
            site.behave_all(Manner::Dead);
            assert_nobody(watcher.writer(), &["another cluster"]);
            site.behave_all(Manner::Answering);
            assert_eq!(watcher.writer().unwrap(), "pg1");
        }
    }
}

#[test]
fn of_two_clusters_half_and_half_none_is_chosen() {
    let (one, other) = (Site::new(2), Site::of("other", 9009, "x", "10.0.9", 2));
    let mut watcher = Watcher::new(&format!("patroni://{},{}/app?{CALM}", one.endpoints(), other.endpoints()));
    assert_nobody(watcher.writer(), &[r#""pg1""#, r#""x1""#, "lead different clusters"]);
    // Who knew one of them before stays with it.
    let mut watcher = Watcher::new(&format!("patroni://{},{}/app?{CALM}", one.endpoints(), other.endpoints()));
    watcher.memory = knowing(&one, CALM).memory;
    one.promote(1);
    assert_eq!(watcher.writer().unwrap(), "pg2");
}

#[test]
fn a_cluster_restored_to_an_earlier_point_in_time_is_taken_when_all_agree() {
    let site = Site::new(3);
    site.change(|truth| truth.lead(0, 5));
    let mut watcher = knowing(&site, CALM);
    // One node has not heard of it.
    site.cut_off(2);
    site.change(|truth| truth.lead(1, 3));
    for _ in 0..3 {
        assert_eq!(watcher.writer().unwrap(), "pg1");
    }
    assert_eq!(watcher.memory.beliefs.highest, Some(5));
    site.reconnect(2);
    assert_eq!(watcher.writer().unwrap(), "pg2");
    assert_eq!(watcher.memory.beliefs.highest, Some(3));
    site.promote(0);
    assert_eq!(watcher.writer().unwrap(), "pg1");
    assert_eq!(watcher.memory.beliefs.highest, Some(4));
}

#[test]
fn a_restored_or_rebuilt_cluster_is_not_taken_on_the_word_of_a_few() {
    for (system, timeline, reason) in [
        (7001, 3, "is on timeline 3, while timeline 5 was confirmed before"),
        (7002, 1, "belongs to another cluster (another system identifier)"),
    ] {
        let site = Site::new(3);
        site.change(|truth| truth.lead(0, 5));
        let mut watcher = knowing(&site, CALM);
        site.behave(1, Manner::Dead);
        site.behave(2, Manner::Dead);
        site.change(|truth| {
            truth.system = system;
            truth.lead(0, timeline);
        });
        assert_nobody(watcher.writer(), &[r#""pg1" is named the leader"#, reason, "HaDsn::forget()"]);
        let mut forgetful = watching(&site, CALM);
        forgetful.memory = watcher.memory.clone();
        forgetful.memory.forget();
        assert_eq!(forgetful.writer().unwrap(), "pg1");
        site.behave(1, Manner::Answering);
        assert_eq!(watcher.writer().unwrap(), "pg1");
        assert_eq!(watcher.memory.beliefs.highest, Some(timeline));
    }
}

#[test]
fn forgetting_takes_a_restored_cluster_at_once() {
    let site = Site::new(3);
    site.change(|truth| truth.lead(0, 5));
    let cluster = configured(&format!("patroni://{}/app", site.endpoints()));
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    site.cut_off(2);
    site.change(|truth| truth.lead(1, 3));
    cluster.invalidate();
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
    cluster.forget();
    assert_eq!(writer(&cluster).unwrap(), "10.0.0.2");
}

#[test]
fn a_cluster_made_anew_is_taken_when_all_agree() {
    let site = Site::new(3);
    site.change(|truth| truth.lead(0, 5));
    let mut watcher = knowing(&site, CALM);
    site.cut_off(2);
    site.change(|truth| {
        truth.system = 7002;
        truth.lead(1, 1);
    });
    for _ in 0..3 {
        assert_eq!(watcher.writer().unwrap(), "pg1");
    }
    site.reconnect(2);
    assert_eq!(watcher.writer().unwrap(), "pg2");
    assert_eq!((watcher.memory.beliefs.system, watcher.memory.beliefs.highest), (Some(7002), Some(1)));
}

#[test]
fn members_come_and_go_between_two_looks() {
    let site = Site::new(3);
    let mut watcher = knowing(&site, CALM);
    site.change(|truth| truth.nodes[2].is_member = false);
    let mut members = || -> Vec<String> {
        let found = watcher.look().unwrap();
        assert_eq!(found.leader.unwrap().name, "pg1");
        found.topology.members.iter().map(|member| member.endpoint.to_string()).collect()
    };
    assert_eq!(members(), ["10.0.0.1:5432", "10.0.0.2:5432"]);
    site.change(|truth| truth.nodes[2].is_member = true);
    assert_eq!(members(), ["10.0.0.1:5432", "10.0.0.2:5432", "10.0.0.3:5432"]);
    site.change(|truth| {
        truth.nodes[1].is_member = false;
        truth.nodes[2].host = "10.0.0.7".to_owned();
        truth.nodes[2].port = 5433;
    });
    assert_eq!(members(), ["10.0.0.1:5432", "10.0.0.7:5433"]);
    assert_eq!((site.asked(0, "/patroni"), site.requests()), (1, 5));
}

#[test]
fn a_leader_that_changes_its_address_is_confirmed_there() {
    let site = Site::new(3);
    let mut watcher = knowing(&site, BRISK);
    site.change(|truth| truth.nodes[0].host = "10.0.0.9".to_owned());
    let found = watcher.look().unwrap();
    assert_eq!(found.leader.unwrap().endpoint.to_string(), "10.0.0.9:5432");
    assert_eq!(site.asked(0, "/patroni"), 2);
    // It is another place: nobody there has said that it is the leader.
    site.change(|truth| truth.nodes[0].host = "10.0.0.8".to_owned());
    site.behave(0, Manner::Silent);
    assert_nobody(watcher.writer(), &["can't be confirmed"]);
    // Its API may move as well.
    site.behave(0, Manner::Answering);
    let moved = Site::of("app", 7001, "pg", "10.0.0", 1);
    site.change(|truth| truth.nodes[0].api_url = format!("http://{}/patroni", moved.endpoint(0)));
    assert_eq!(watcher.look().unwrap().leader.unwrap().endpoint.to_string(), "10.0.0.8:5432");
    assert_eq!(moved.asked(0, "/patroni"), 1);
}

#[test]
fn all_members_may_be_replaced_one_by_one() {
    let site = Site::new(3);
    let mut watcher = knowing(&site, CALM);
    for number in 0..9 {
        let node = number % 3;
        site.change(|truth| {
            truth.nodes[node].name = format!("new{number}");
            truth.nodes[node].host = format!("10.0.1.{number}");
            truth.promote(node);
        });
        assert_eq!(watcher.writer().unwrap(), format!("new{number}"));
    }
    assert_eq!(watcher.memory.beliefs.highest, Some(10));
}

/// The same two sites, listed as two sources and as one.
fn with_a_standby_cluster(main: &Site, standby: &Site) -> [String; 2] {
    let (one, other) = (main.endpoints(), standby.endpoints());
    [format!("patroni://{one}/app?{BRISK} patroni://{other}"), format!("patroni://{one},{other}/app?{BRISK}")]
}

fn sites() -> (Site, Site) {
    (Site::new(2), Site::following("app-dr", 7001, "dr", "10.0.1", 2))
}

#[test]
fn a_standby_cluster_is_never_written_to() {
    for number in 0..2 {
        let (main, standby) = sites();
        let sources = with_a_standby_cluster(&main, &standby)[number].clone();
        let mut watcher = Watcher::new(&sources);
        assert_eq!(watcher.writer().unwrap(), "pg1", "{sources}");
        main.promote(1);
        assert_eq!(watcher.writer().unwrap(), "pg2", "{sources}");
        for manner in [Manner::Dead, Manner::Silent] {
            main.behave_all(manner);
            assert_nobody(watcher.writer(), &["standby_leader"]);
        }
        // Whoever comes then hears the same.
        assert_nobody(Watcher::new(&sources).writer(), &["standby_leader"]);
        main.behave_all(Manner::Answering);
        assert_eq!(watcher.writer().unwrap(), "pg2", "{sources}");
    }
}

#[test]
fn a_standby_cluster_is_read_from_while_the_other_site_is_silent() {
    for number in 0..2 {
        let (main, standby) = sites();
        let cluster = configured(&with_a_standby_cluster(&main, &standby)[number]);
        assert_eq!(writer(&cluster).unwrap(), "10.0.0.1");
        assert_eq!(readers(&cluster).unwrap(), ["10.0.0.2"]);
        main.behave_all(Manner::Dead);
        cluster.invalidate();
        assert_eq!(writer(&cluster).unwrap_err().kind(), Kind::NoLeader);
        assert_eq!(readers(&cluster).unwrap(), ["10.0.1.2"]);
    }
}

#[test]
fn a_promoted_standby_cluster_is_written_to_also_when_the_old_site_comes_back() {
    for number in 0..2 {
        let (main, standby) = sites();
        let sources = with_a_standby_cluster(&main, &standby)[number].clone();
        let mut watcher = Watcher::new(&sources);
        assert_eq!(watcher.writer().unwrap(), "pg1", "{sources}");
        main.behave_all(Manner::Dead);
        assert_nobody(watcher.writer(), &["standby_leader"]);
        standby.promote(0);
        assert_eq!(watcher.writer().unwrap(), "dr1", "{sources}");
        // The old site knows nothing of it: its leader is a primary, on the old timeline.
        main.behave_all(Manner::Answering);
        for _ in 0..3 {
            assert_eq!(watcher.writer().unwrap(), "dr1", "{sources}");
        }
        // It is made a standby cluster in turn, and promoted again.
        main.change(|truth| {
            truth.lead(0, 2);
            truth.nodes[0].is_primary = false;
            truth.is_standby_cluster = true;
        });
        assert_eq!(watcher.writer().unwrap(), "dr1", "{sources}");
        standby.change(|truth| {
            truth.nodes[0].is_primary = false;
            truth.is_standby_cluster = true;
        });
        main.promote(1);
        assert_eq!(watcher.writer().unwrap(), "pg2", "{sources}");
    }
}

#[test]
fn a_maintenance_pause_keeps_the_leader_that_was_dropped_from_the_list() {
    let site = Site::new(3);
    let mut watcher = knowing(&site, CALM);
    site.change(|truth| {
        truth.is_paused = true;
        truth.leader = None;
        truth.nodes[0].is_member = false;
    });
    site.behave(0, Manner::Dead);
    assert_eq!(watcher.writer().unwrap(), "pg1");
    site.change(|truth| truth.is_paused = false);
    assert_nobody(watcher.writer(), &["none of 2 members is the leader"]);
}

#[test]
fn half_of_the_endpoints_are_not_enough_for_a_lower_timeline_or_another_cluster() {
    let site = Site::new(2);
    let mut watcher = Watcher::new(&format!("patroni://{},{}/app?{CALM}", site.endpoint(1), site.endpoint(0)));
    site.cut_off(0);
    site.promote(1);
    assert_eq!(watcher.writer().unwrap(), "pg2");
    // The deposed leader is back, still a primary, when its successor dies.
    site.change(|truth| (truth.nodes[0].is_primary, truth.nodes[0].timeline) = (true, 1));
    site.behave(1, Manner::Dead);
    assert_nobody(watcher.writer(), &["is on timeline 1, while timeline 2 was confirmed before"]);

    for stranger in strangers() {
        let site = Site::new(1);
        let mut watcher = Watcher::new(&format!("patroni://{},{}/app?{CALM}", site.endpoint(0), stranger.endpoint(0)));
        watcher.memory = knowing(&site, CALM).memory;
        site.behave(0, Manner::Dead);
        assert_nobody(watcher.writer(), &["another cluster"]);
    }
}

#[test]
fn the_old_site_does_not_take_over_again_when_the_promoted_one_is_out_of_reach() {
    for number in 0..2 {
        let (main, standby) = sites();
        let sources = with_a_standby_cluster(&main, &standby)[number].clone();
        let mut watcher = Watcher::new(&sources);
        assert_eq!(watcher.writer().unwrap(), "pg1");
        main.behave_all(Manner::Dead);
        standby.promote(0);
        assert_eq!(watcher.writer().unwrap(), "dr1");
        main.behave_all(Manner::Answering);
        standby.behave_all(Manner::Silent);
        assert_nobody(watcher.writer(), &[]);
    }
}

#[test]
fn one_that_comes_after_the_leaders_crash_learns_who_is_left() {
    let site = Site::new(3);
    site.behave(0, Manner::Dead);
    site.change(|truth| {
        truth.leader = None;
        truth.nodes[0].is_member = false;
    });
    let mut watcher = watching(&site, CALM);
    let found = watcher.look().unwrap();
    assert!(found.leader.unwrap_err().contains("none of 2 members is the leader"));
    let names: Vec<_> = found.topology.members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["pg2", "pg3"], "they are read from meanwhile");
}

#[test]
fn one_that_is_promoting_on_a_lower_timeline_is_not_even_tried() {
    let site = Site::new(3);
    site.change(|truth| truth.lead(0, 5));
    let mut watcher = knowing(&site, CALM);
    site.promote(1);
    site.change(|truth| truth.nodes[1].is_primary = false);
    assert_eq!(watcher.look().unwrap().promoting.map(|member| member.name).as_deref(), Some("pg2"));
    site.change(|truth| {
        truth.lead(2, 4);
        truth.nodes[2].is_primary = false;
    });
    assert_eq!(watcher.look().unwrap().promoting, None);
}
