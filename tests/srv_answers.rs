//! What name servers that answer well, badly or not at all do to a look-up of SRV records.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod fake {
    pub mod dns;
}

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fake::dns::{FakeDns, Reply, Transport, Zone, refusal, refusing, reply_to, truncated};
use hadsn::discovery::srv::{self, Records, Servers, UNSETTLED_LIFE};
use hadsn::sys::clock::Deadline;
use hadsn::sys::names::Failure;
use hickory_resolver::proto::op::ResponseCode;

const SERVICE: &str = "_patroni._tcp.pg.test";

/// Longer than any look-up that is not about time should take.
const AMPLE: Duration = Duration::from_secs(10);

/// How long the addresses of other targets may take.
const PATIENCE: Duration = Duration::from_secs(1);

fn look_up(dns: &FakeDns) -> Result<Records, Failure> {
    srv::look_up(SERVICE, Some(&dns.endpoint()), PATIENCE, Deadline::after(AMPLE))
}

/// Asks `servers` as if they stood in a resolv.conf with these options.
fn look_up_at(servers: &[SocketAddr], resolv_conf: &str, service: &str) -> Result<Records, Failure> {
    let mut system = Servers::parse(resolv_conf.as_bytes()).unwrap();
    system.addresses = servers.to_vec();
    system.look_up(service, PATIENCE, Deadline::after(AMPLE))
}

/// `priority weight host:port addresses`.
fn told(records: &Records) -> Vec<String> {
    records
        .targets
        .iter()
        .map(|target| {
            let addresses: Vec<String> = target.addresses.iter().map(ToString::to_string).collect();
            format!("{} {} {} {}", target.priority, target.weight, target.endpoint, addresses.join(","))
        })
        .collect()
}

#[track_caller]
fn assert_fails(result: Result<Records, Failure>, text: &str) {
    let failure = result.unwrap_err();
    assert!(failure.text.starts_with(&format!("{SERVICE}: ")) && failure.text.contains(text), "{}", failure.text);
    assert!(!failure.is_late, "{} counts as late", failure.text);
}

const GOOD: [&str; 6] = [
    "_patroni._tcp.pg.test. 60 SRV 20 0 8010 pg3.test.",
    "_patroni._tcp.pg.test. 60 SRV 10 5 8008 pg1.test.",
    "_patroni._tcp.pg.test. 60 SRV 10 7 8009 pg2.test.",
    "pg1.test. 30 A 10.0.0.1",
    "pg2.test. 90 A 10.0.0.2",
    "pg3.test. 90 A 10.0.0.3",
];

const GOOD_TOLD: [&str; 3] =
    ["10 7 pg2.test:8009 10.0.0.2", "10 5 pg1.test:8008 10.0.0.1", "20 0 pg3.test:8010 10.0.0.3"];

#[test]
fn priorities_weights_ports_and_addresses_are_told() {
    let dns = FakeDns::of(&GOOD);
    let records = look_up(&dns).unwrap();
    assert_eq!(told(&records), GOOD_TOLD);
    assert_eq!(records.lives_for, Duration::from_secs(30));
}

#[test]
fn every_call_asks_again() {
    let dns = FakeDns::of(&GOOD);
    look_up(&dns).unwrap();
    look_up(&dns).unwrap();
    assert_eq!(dns.questions().iter().filter(|question| question.contains("SRV")).count(), 2);
}

#[test]
fn addresses_that_come_along_are_not_asked_for() {
    let dns = FakeDns::of_zone(Zone { has_additionals: true, ..Zone::new(&GOOD) });
    let records = look_up(&dns).unwrap();
    assert_eq!((told(&records), records.lives_for), (GOOD_TOLD.map(str::to_owned).to_vec(), Duration::from_secs(30)));
    assert_eq!(dns.questions(), ["UDP SRV _patroni._tcp.pg.test."]);
}

#[test]
fn an_address_of_a_foreign_name_is_not_taken() {
    let dns = FakeDns::new(Zone::new(&GOOD), |zone, question, transport| {
        let mut answer = zone.answer(question, transport);
        let foreign = Zone::new(&["pg1.other. 60 A 192.0.2.1", "pg1.other. 60 SRV 0 0 1 pg1.other."]);
        let mut about_it = question.clone();
        about_it.queries[0].name = "pg1.other.".parse().unwrap();
        answer.additionals.extend(foreign.answer(&about_it, Transport::Tcp).answers.clone());
        answer.answers.extend(foreign.answer(&about_it, Transport::Tcp).answers);
        Reply::Message(answer)
    });
    assert_eq!(told(&look_up(&dns).unwrap()), GOOD_TOLD);
}

#[test]
fn hosts_with_ipv6_addresses_are_found() {
    let dns = FakeDns::of(&[
        "_patroni._tcp.pg.test. 60 SRV 10 0 8008 six.test.",
        "_patroni._tcp.pg.test. 60 SRV 20 0 8008 both.test.",
        "six.test. 60 AAAA fd00::1",
        "both.test. 60 AAAA fd00::2",
        "both.test. 60 A 10.0.0.2",
    ]);
    assert_eq!(told(&look_up(&dns).unwrap()), ["10 0 six.test:8008 fd00::1", "20 0 both.test:8008 10.0.0.2,fd00::2"]);
}

#[test]
fn the_shortest_ttl_counts_and_is_a_second_at_least() {
    for (ttls, seconds) in
        [((60, 40, 50), 40), ((60, 50, 40), 40), ((40, 50, 60), 40), ((0, 60, 60), 1), ((60, 60, 0), 1)]
    {
        let (alias, service, address) = ttls;
        let lines = [
            format!("_patroni._tcp.pg.test. {alias} CNAME all.test."),
            format!("all.test. {service} SRV 0 0 8008 pg1.test."),
            format!("pg1.test. {address} A 10.0.0.1"),
        ];
        let dns = FakeDns::of(&lines.each_ref().map(String::as_str));
        assert_eq!(look_up(&dns).unwrap().lives_for, Duration::from_secs(seconds), "{ttls:?}");
    }
    let dns = FakeDns::of(&["_patroni._tcp.pg.test. 4294967295 SRV 0 0 8008 pg1.test.", "pg1.test. 60 A 10.0.0.1"]);
    assert_eq!(look_up(&dns).unwrap().lives_for, Duration::from_secs(1));
}

#[test]
fn a_service_that_is_an_alias_is_followed() {
    let lines = [
        "_patroni._tcp.pg.test. 60 CNAME one.test.",
        "one.test. 60 CNAME two.test.",
        "two.test. 60 SRV 0 0 8008 pg1.test.",
        "pg1.test. 60 CNAME host.test.",
        "host.test. 60 A 10.0.0.1",
    ];
    for stops_at_aliases in [false, true] {
        let dns = FakeDns::of_zone(Zone { stops_at_aliases, ..Zone::new(&lines) });
        assert_eq!(told(&look_up(&dns).unwrap()), ["0 0 pg1.test:8008 10.0.0.1"]);
    }
}

#[test]
fn aliases_in_a_circle_end() {
    let lines = ["_patroni._tcp.pg.test. 60 CNAME one.test.", "one.test. 60 CNAME _patroni._tcp.pg.test."];
    for stops_at_aliases in [false, true] {
        assert_fails(
            look_up(&FakeDns::of_zone(Zone { stops_at_aliases, ..Zone::new(&lines) })),
            "aliases lead in a circle",
        );
    }
    assert_fails(look_up(&FakeDns::of(&["_patroni._tcp.pg.test. 60 CNAME _patroni._tcp.pg.test."])), "in a circle");
    let chain: Vec<String> = (0..30).map(|i| format!("n{i}.test. 60 CNAME n{}.test.", i + 1)).collect();
    let mut lines = vec!["_patroni._tcp.pg.test. 60 CNAME n0.test."];
    lines.extend(chain.iter().map(String::as_str));
    assert_fails(look_up(&FakeDns::of_zone(Zone { stops_at_aliases: true, ..Zone::new(&lines) })), "in a circle");
}

#[test]
fn a_target_in_a_circle_of_aliases_has_no_address() {
    let mut lines = GOOD[..5].to_vec();
    lines.extend(["pg3.test. 60 CNAME pg4.test.", "pg4.test. 60 CNAME pg3.test."]);
    assert_eq!(told(&look_up(&FakeDns::of(&lines)).unwrap())[2], "20 0 pg3.test:8010 ");
}

#[test]
fn no_such_name_and_no_such_records_are_told_apart() {
    assert_fails(look_up(&FakeDns::of(&["other.test. 60 A 10.0.0.1"])), "no such name (NXDOMAIN)");
    assert_fails(look_up(&FakeDns::of(&["_patroni._tcp.pg.test. 60 A 10.0.0.1"])), "has no SRV records");
    let dangling = ["_patroni._tcp.pg.test. 60 CNAME gone.test."];
    for stops_at_aliases in [false, true] {
        let dns = FakeDns::of_zone(Zone { stops_at_aliases, ..Zone::new(&dangling) });
        let failure = look_up(&dns).unwrap_err();
        assert!(failure.text.contains("NXDOMAIN") || failure.text.contains("has no SRV records"), "{}", failure.text);
    }
}

#[test]
fn servers_that_fail_or_refuse_are_named() {
    for (code, text) in [
        (ResponseCode::ServFail, "failed (SERVFAIL)"),
        (ResponseCode::Refused, "refuses to answer (REFUSED)"),
        (ResponseCode::FormErr, "does not understand the question (FORMERR)"),
        (ResponseCode::NotAuth, "answered with error 9"),
    ] {
        let dns = FakeDns::failing(code);
        assert_fails(look_up(&dns), &format!("the name server {} {text}", dns.address));
    }
}

#[test]
fn a_server_that_knows_no_edns_is_asked_without() {
    let dns = FakeDns::new(Zone::new(&GOOD), |zone, question, transport| {
        Reply::Message(match question.edns {
            Some(_) => refusal(question, ResponseCode::FormErr),
            None => zone.answer(question, transport),
        })
    });
    assert_eq!(told(&look_up(&dns).unwrap()), GOOD_TOLD);
}

#[test]
fn a_server_that_swallows_edns_is_asked_again_without() {
    let dns = FakeDns::new(Zone::new(&GOOD), |zone, question, transport| match question.edns {
        Some(_) => Reply::Silence,
        None => Reply::Message(zone.answer(question, transport)),
    });
    assert_eq!(look_up(&dns).unwrap().targets.len(), 3);
}

#[test]
fn a_failure_after_a_lost_datagram_is_not_waited_upon() {
    let (number, start) = (AtomicUsize::new(0), Instant::now());
    let dns = FakeDns::new(Zone::default(), move |_, question, _| match number.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Silence,
        _ => Reply::Message(refusal(question, ResponseCode::ServFail)),
    });
    let failure = srv::look_up(SERVICE, Some(&dns.endpoint()), PATIENCE, Deadline::after(AMPLE * 6)).unwrap_err();
    assert!(failure.text.contains("SERVFAIL") && !failure.is_late, "{}", failure.text);
    // A second until the question is sent again, and three in all.
    assert!(start.elapsed() < Duration::from_millis(2500), "it took {:?}", start.elapsed());
}

#[test]
fn a_referral_is_no_answer() {
    let dns = FakeDns::new(Zone::default(), |_, question, _| {
        let mut answer = reply_to(question);
        answer.metadata.recursion_available = false;
        Reply::Message(answer)
    });
    assert_fails(look_up(&dns), "is not responsible for it");
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp() {
    let dns = FakeDns::new(Zone::new(&GOOD), |zone, question, transport| {
        Reply::Message(match transport {
            Transport::Udp => truncated(question),
            Transport::Tcp => zone.answer(question, transport),
        })
    });
    assert_eq!(told(&look_up(&dns).unwrap()), GOOD_TOLD);
    assert_eq!(dns.questions()[..2], ["UDP SRV _patroni._tcp.pg.test.", "TCP SRV _patroni._tcp.pg.test."]);
}

/// `count` targets with a priority each.
fn many(count: u32) -> Zone {
    let lines: Vec<String> = (0..count)
        .flat_map(|i| {
            let target = format!("a-rather-long-name-of-a-server-{i}.test.");
            let service = format!("_patroni._tcp.pg.test. 60 SRV {i} 0 8008 {target}");
            [service, format!("{target} 60 A 10.0.{}.{}", i / 256, i % 256)]
        })
        .collect();
    Zone::new(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn two_hundred_records_come_over_tcp() {
    let dns = FakeDns::of_zone(many(200));
    let records = srv::look_up(SERVICE, Some(&dns.endpoint()), AMPLE, Deadline::after(AMPLE)).unwrap();
    assert_eq!(records.targets.len(), 200);
    let last = records.targets.last().unwrap();
    assert_eq!((last.priority, last.addresses.as_slice()), (199, ["10.0.0.199".parse().unwrap()].as_slice()));
    assert!(records.targets.iter().all(|target| target.addresses.len() == 1));
}

#[test]
fn of_more_than_256_records_the_last_are_left_out() {
    let records = look_up(&FakeDns::of_zone(Zone { has_additionals: true, ..many(300) })).unwrap();
    assert_eq!(records.targets.len(), srv::MAX_TARGETS);
    assert_eq!(records.targets.last().unwrap().priority, 255);
}

#[test]
fn a_truncated_answer_without_tcp_is_told() {
    let dns = FakeDns::without_tcp(many(200));
    assert_fails(look_up(&dns), "the answer is truncated and TCP failed: Connection refused");
}

#[test]
fn a_truncated_answer_with_silent_tcp_is_told_and_is_late() {
    let dns = FakeDns::new(Zone::default(), |_, question, transport| match transport {
        Transport::Udp => Reply::Message(truncated(question)),
        Transport::Tcp => Reply::Silence,
    });
    let failure =
        srv::look_up(SERVICE, Some(&dns.endpoint()), Duration::ZERO, Deadline::after(Duration::from_millis(500)))
            .unwrap_err();
    assert!(failure.is_late && failure.text.contains("TCP failed: no answer in time"), "{}", failure.text);
}

#[test]
fn garbage_over_tcp_is_no_answer() {
    for bytes in [b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Vec::new(), vec![0; 12]] {
        let dns = FakeDns::new(Zone::default(), move |_, question, transport| match transport {
            Transport::Udp => Reply::Message(truncated(question)),
            Transport::Tcp => Reply::Bytes(vec![bytes.clone()]),
        });
        let deadline = Deadline::after(Duration::from_millis(500));
        let failure = srv::look_up(SERVICE, Some(&dns.endpoint()), Duration::ZERO, deadline).unwrap_err();
        assert!(failure.text.contains("truncated and TCP failed"), "{}", failure.text);
    }
}

#[test]
fn records_that_cannot_be_used_are_left_out() {
    let mut lines = GOOD.to_vec();
    lines.extend(["_patroni._tcp.pg.test. 60 SRV 0 0 0 pg4.test.", "_patroni._tcp.pg.test. 60 SRV 0 0 1 10.0.0.4."]);
    assert_eq!(told(&look_up(&FakeDns::of(&lines)).unwrap()), GOOD_TOLD);
    let only_port_0 = ["_patroni._tcp.pg.test. 60 SRV 0 0 0 pg4.test."];
    assert_fails(
        look_up(&FakeDns::of(&only_port_0)),
        r#"none of its SRV records can be used: the port of "pg4.test" is 0"#,
    );
}

#[test]
fn the_root_as_target_means_no_service() {
    assert_fails(look_up(&FakeDns::of(&["_patroni._tcp.pg.test. 60 SRV 0 0 0 ."])), "decidedly not available");
}

#[test]
fn a_target_without_an_address_stays_and_is_looked_for_again_soon() {
    let records = look_up(&FakeDns::of(&GOOD[..5])).unwrap();
    assert_eq!(told(&records), [GOOD_TOLD[0], GOOD_TOLD[1], "20 0 pg3.test:8010 "]);
    assert_eq!(records.lives_for, UNSETTLED_LIFE);
}

#[test]
fn a_target_whose_address_is_not_answered_delays_the_others_for_patience_only() {
    let dns = FakeDns::new(Zone::new(&GOOD), |zone, question, transport| {
        let is_about_pg1 = question.queries[0].name.to_ascii() == "pg1.test.";
        if is_about_pg1 { Reply::Silence } else { Reply::Message(zone.answer(question, transport)) }
    });
    let start = Instant::now();
    let records = look_up(&dns).unwrap();
    assert!(start.elapsed() < AMPLE / 2, "it took {:?}", start.elapsed());
    assert_eq!(told(&records), [GOOD_TOLD[0], "10 5 pg1.test:8008 ", GOOD_TOLD[2]]);
}

#[test]
fn a_silent_server_ends_by_the_deadline() {
    let dns = FakeDns::silent();
    let (limit, start) = (Duration::from_millis(300), Instant::now());
    let failure = srv::look_up(SERVICE, Some(&dns.endpoint()), Duration::ZERO, Deadline::after(limit)).unwrap_err();
    assert!(start.elapsed() >= limit && start.elapsed() < AMPLE, "it took {:?}", start.elapsed());
    assert_eq!(failure.text, format!("{SERVICE}: no answer from the name server {} in time", dns.address));
    assert!(failure.is_late);
    // A datagram may be lost.
    while dns.questions().len() < 2 {
        assert!(start.elapsed() < AMPLE, "it was asked only once");
        std::thread::yield_now();
    }
}

#[test]
fn no_time_left_is_late() {
    let failure =
        srv::look_up(SERVICE, Some(&FakeDns::silent().endpoint()), Duration::ZERO, Deadline::after(Duration::ZERO))
            .unwrap_err();
    assert!(failure.is_late, "{}", failure.text);
}

#[test]
fn a_server_that_is_not_there_is_noticed_at_once() {
    let (nobody, start) = (refusing(), Instant::now());
    assert_fails(look_up_at(&[nobody.local_addr().unwrap()], "", SERVICE), "can't be asked: Connection refused");
    assert!(start.elapsed() < AMPLE / 2, "it took {:?}", start.elapsed());
}

#[test]
fn garbage_is_no_answer() {
    for garbage in [b"\xff".repeat(40), b"".to_vec(), b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()] {
        let dns = FakeDns::new(Zone::default(), move |_, question, _| {
            // With the right number in front it is taken for the answer.
            let numbered = [question.metadata.id.to_be_bytes().as_slice(), &garbage].concat();
            Reply::Bytes(vec![garbage.clone(), numbered])
        });
        assert_fails(look_up(&dns), "sent an answer that can't be read");
    }
}

#[test]
fn an_answer_to_something_else_is_not_taken() {
    let dns = FakeDns::new(Zone::new(&GOOD), |zone, question, transport| {
        let answer = zone.answer(question, transport);
        let mut forged = answer.clone();
        forged.answers.clear();
        let mut other_number = forged.clone();
        other_number.metadata.id = other_number.metadata.id.wrapping_add(1);
        let mut other_name = forged.clone();
        other_name.queries[0].name = "other.test.".parse().unwrap();
        Reply::Bytes([other_number, other_name, answer].iter().map(|message| message.to_vec().unwrap()).collect())
    });
    assert_eq!(told(&look_up(&dns).unwrap()), GOOD_TOLD);
}

#[test]
fn every_cut_and_every_changed_byte_of_an_answer_ends_well() {
    let zone = Zone { has_additionals: true, ..Zone::new(&GOOD) };
    let turn = AtomicUsize::new(0);
    let dns = FakeDns::new(zone, move |zone, question, transport| {
        let mut bytes = zone.answer(question, transport).to_vec().unwrap();
        let turn = turn.fetch_add(1, Ordering::SeqCst);
        // The number of the message stays right.
        let place = 2 + turn / 2 % (bytes.len() - 2);
        if turn.is_multiple_of(2) {
            bytes.truncate(place);
        } else {
            bytes[place] ^= 0xff;
        }
        Reply::Bytes(vec![bytes])
    });
    while dns.questions().len() < 300 {
        let deadline = Deadline::after(Duration::from_millis(20));
        if let Err(failure) = srv::look_up(SERVICE, Some(&dns.endpoint()), Duration::ZERO, deadline) {
            assert!(failure.text.starts_with(SERVICE) && !failure.text.contains('\n'), "{}", failure.text);
        }
    }
}

#[test]
fn the_next_server_is_asked_when_one_fails_or_is_silent() {
    let good = FakeDns::of(&GOOD);
    let failing = FakeDns::failing(ResponseCode::ServFail);
    let (silent, nobody) = (FakeDns::silent(), refusing());
    for bad in [failing.address, nobody.local_addr().unwrap(), silent.address] {
        let records = look_up_at(&[bad, good.address], "options timeout:1\n", SERVICE).unwrap();
        assert_eq!(told(&records), GOOD_TOLD, "after {bad}");
    }
    // The server that has answered is asked first from then on.
    assert_eq!(silent.questions(), ["UDP SRV _patroni._tcp.pg.test."]);
}

#[test]
fn every_server_that_gave_no_answer_is_named() {
    let (one, other) = (FakeDns::failing(ResponseCode::ServFail), FakeDns::failing(ResponseCode::Refused));
    let failure = look_up_at(&[one.address, other.address], "", SERVICE).unwrap_err();
    let text = format!(
        "{SERVICE}: the name server {} failed (SERVFAIL); the name server {} refuses to answer (REFUSED)",
        one.address, other.address
    );
    assert_eq!(failure.text, text);
}

#[test]
fn a_name_that_does_not_exist_is_not_asked_of_others() {
    let (one, other) = (FakeDns::of(&[]), FakeDns::of(&GOOD));
    assert_fails(look_up_at(&[one.address, other.address], "", SERVICE), "NXDOMAIN");
    assert!(other.questions().is_empty());
}

#[test]
fn the_search_list_leads_to_the_service() {
    let dns = FakeDns::of(&GOOD);
    let search = "search elsewhere.test test\noptions ndots:5\n";
    assert_eq!(told(&look_up_at(&[dns.address], search, "_patroni._tcp.pg").unwrap()), GOOD_TOLD);
    let asked = dns.questions();
    assert_eq!(asked[..2], ["UDP SRV _patroni._tcp.pg.elsewhere.test.", "UDP SRV _patroni._tcp.pg.test."]);

    let failure = look_up_at(&[dns.address], search, "_patroni._tcp.pg.").unwrap_err();
    assert_eq!(failure.text, "_patroni._tcp.pg.: no such name (NXDOMAIN)");
}

#[test]
fn the_search_goes_on_where_a_server_fails() {
    let dns = FakeDns::new(Zone::new(&GOOD), |zone, question, transport| {
        let is_elsewhere = question.queries[0].name.to_ascii().contains("elsewhere");
        Reply::Message(match is_elsewhere {
            true => refusal(question, ResponseCode::ServFail),
            false => zone.answer(question, transport),
        })
    });
    let search = "search elsewhere.test test\noptions ndots:5\n";
    assert_eq!(told(&look_up_at(&[dns.address], search, "_patroni._tcp.pg").unwrap()), GOOD_TOLD);
    let failure = look_up_at(&[dns.address], search, "_other._tcp.pg").unwrap_err();
    assert!(failure.text.contains("SERVFAIL"), "{}", failure.text);
}

#[test]
fn the_hosts_file_counts_before_the_name_server() {
    let dns = FakeDns::of_zone(Zone { has_additionals: true, ..Zone::new(&GOOD) });
    let mut system = Servers::parse(b"").unwrap();
    system.addresses = vec![dns.address];
    system.read_hosts("# ours\n192.0.2.7\tPG1.test pg1 # here\nnonsense\nfd00::7 pg1.test\n".as_bytes());
    let records = system.look_up(SERVICE, PATIENCE, Deadline::after(AMPLE)).unwrap();
    assert_eq!(told(&records), [GOOD_TOLD[0], "10 5 pg1.test:8008 192.0.2.7,fd00::7", GOOD_TOLD[2]]);
}

#[test]
fn a_name_server_may_be_given_by_name() {
    let dns = FakeDns::of(&GOOD);
    let named = hadsn::address::Endpoint::parse(&format!("localhost:{}", dns.address.port()), 53).unwrap();
    let records = srv::look_up(SERVICE, Some(&named), PATIENCE, Deadline::after(AMPLE)).unwrap();
    assert_eq!(told(&records), GOOD_TOLD);
    let unknown = hadsn::address::Endpoint::parse("no-such-host.invalid", 53).unwrap();
    let failure = srv::look_up(SERVICE, Some(&unknown), Duration::ZERO, Deadline::after(AMPLE)).unwrap_err();
    assert!(failure.text.contains(r#"the name server "no-such-host.invalid":"#), "{}", failure.text);
}

#[test]
fn a_name_that_no_dns_has_is_shown_safely() {
    let dns = FakeDns::of(&GOOD);
    for service in ["a\nb", "", &"a.".repeat(200), "ä.test"] {
        let failure = srv::look_up(service, Some(&dns.endpoint()), Duration::ZERO, Deadline::after(AMPLE)).unwrap_err();
        assert!(!failure.text.contains('\n') && failure.text.starts_with('"'), "{}", failure.text);
    }
}
