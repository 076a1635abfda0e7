//! What servers that are dead, slow, lying or no PostgreSQL do to whoever asks them for their role.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[allow(dead_code, reason = "others use the rest")]
mod fake {
    pub mod postgres;
    pub mod server;
}

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use fake::postgres::{authentication_ok, error, log_in, ready, row};
use fake::server::{Server, drain, message, refusing};
use hadsn::address::Host;
use hadsn::config::{Config, Secret};
use hadsn::discovery::probe::{Login, Refusal, ServerRole, Standing, ask, ask_all, fault};
use hadsn::route::Route;
use hadsn::sys::clock::Deadline;
use hadsn::verdict::Fault;

#[test]
fn a_server_says_what_it_is() {
    let primary = healthy(["f", "off", "0000000A", "7712191335004130033", "0/3000060", "f"]);
    let standing = asked(&primary, "sslmode=disable").unwrap();
    assert_eq!(standing.role, ServerRole::Primary);
    assert_eq!((standing.timeline, standing.lsn), (Some(10), Some(0x0300_0060)));
    assert_eq!(standing.system_identifier, Some(7_712_191_335_004_130_033));

    let standby = healthy(["t", "on", "2", "7", "0/0", "t"]);
    assert_eq!(asked(&standby, "sslmode=disable").unwrap().role, ServerRole::Standby { is_streaming: true });
}

#[test]
fn the_connection_is_ended_politely() {
    let (sender, farewell) = mpsc::channel();
    let server = Server::new(move |mut stream| {
        log_in(&mut stream);
        let _ = stream.write_all(&row(&["f", "off", "00000001", "7", "0/0", "f"]));
        let _ = sender.send(message(&mut stream));
        let _ = sender.send(message(&mut stream));
    });
    asked(&server, "sslmode=disable").unwrap();
    let soon = Duration::from_secs(5);
    assert_eq!(farewell.recv_timeout(soon).unwrap().first(), Some(&b'X'));
    assert_eq!(farewell.recv_timeout(soon).unwrap(), b"", "it was not closed");
}

#[test]
fn a_function_that_may_not_be_called_leaves_the_role() {
    let server = Server::new(|mut stream| {
        log_in(&mut stream);
        for _ in 0..2 {
            let denied = error("42501", "permission denied for function pg_control_system");
            let _ = stream.write_all(&[denied, ready()].concat());
            message(&mut stream);
        }
        let _ = stream.write_all(&row(&["f", "off"]));
        message(&mut stream);
    });
    // Two columns are no answer to any question.
    assert_eq!(asked(&server, "").unwrap_err().text, "answered with a row of another shape");

    let server = Server::new(|mut stream| {
        log_in(&mut stream);
        let _ = stream.write_all(&[error("42501", "permission denied"), ready()].concat());
        message(&mut stream);
        let _ = stream.write_all(&row(&["f", "on", "", "", "", ""]));
        message(&mut stream);
    });
    let standing = asked(&server, "").unwrap();
    assert_eq!((standing.role, standing.timeline), (ServerRole::ReadOnlyPrimary, None));
}

#[test]
fn a_server_that_turns_one_down_is_told_in_words() {
    for (state, sent, told, expected) in [
        ("57P03", "the database system is starting up", "is starting up (57P03)", Fault::NotAccepting),
        ("28P01", "password authentication failed", "rejects the password of \"app\" (28P01)", Fault::Login),
        ("28000", "no entry", "does not let \"app\" in without TLS (28000): \"no entry\"", Fault::Login),
        ("3D000", "does not exist", "has no database \"shop\" (3D000)", Fault::Login),
        ("53300", "too many", "has no room for another connection (53300)", Fault::TooManyConnections),
        (
            "XX000",
            "line\nbreak \u{1b}[31m\0",
            "answers with an error (XX000): \"line\\nbreak \\u{1b}[31m\"",
            Fault::Other,
        ),
    ] {
        let server = Server::new(move |mut stream| {
            message(&mut stream);
            let _ = stream.write_all(&error(state, sent));
        });
        let refusal = asked(&server, "sslmode=disable").unwrap_err();
        assert_eq!(refusal.text, told);
        assert_eq!((refusal.sqlstate.as_deref(), refusal.is_timeout), (Some(state), false));
        let config = configured("sslmode=disable");
        assert_eq!(fault(&login(), &route(&server), &config, Deadline::after(LONG)), Some(expected));
    }
}

#[test]
fn a_flood_of_words_does_not_get_into_a_message() {
    let server = Server::new(|mut stream| {
        message(&mut stream);
        let _ = stream.write_all(&error("XX000", &"x".repeat(20_000)));
    });
    assert!(asked(&server, "sslmode=disable").unwrap_err().text.len() < 200);
}

#[test]
fn what_is_no_postgresql_is_told_and_does_not_hold_up() {
    let bytes: &[(&[u8], &str)] = &[
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks no PostgreSQL"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "speaks no PostgreSQL"),
        (b"\0\0\0\0\0\0\0\0\0", "speaks no PostgreSQL"),
        (b"R\xff\xff\xff\xff\0\0\0\0", "speaks no PostgreSQL"),
        (b"R\0\0\0\x08\0\0\0\x63", "speaks no PostgreSQL"),
        (b"R\0\0\0\x08\0\0\0\x02", "the authentication failed: \"unsupported authentication method\""),
        (b"R\0\0\0\x0C\0\0\0\x0A\xff\xff\0\0", "speaks no PostgreSQL"),
        (b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05IT\0\0\0\x06\xff\xff", "speaks no PostgreSQL"),
        (b"E\0\0\0\x08XXXX", "speaks no PostgreSQL"),
        (b"E\0\0\0\x09SX\0\0\0", "speaks no PostgreSQL"),
        (b"R\0\0\0\x08\0\0\0\0", "closed the connection before it answered"),
        (b"R\0\0", "closed the connection before it answered"),
        (b"", "closed the connection before it answered"),
    ];
    for (bytes, told) in bytes {
        for sslmode in ["disable", "prefer"] {
            let server = Server::new(move |mut stream| {
                message(&mut stream);
                let _ = stream.write_all(bytes);
                drain(&mut stream);
            });
            let since = Instant::now();
            let refusal = asked(&server, &format!("sslmode={sslmode}")).unwrap_err();
            assert!(since.elapsed() < LONG, "{bytes:?}");
            if sslmode == "disable" {
                assert_eq!(&refusal.text, told, "{bytes:?}");
            }
        }
    }
}

#[test]
fn an_answer_without_an_end_is_cut_off() {
    for flood in [&b"S\0\0\0\x08a\0b\0"[..], b"D\x7f\xff\xff\xff", b"D\0\0\0\x06\0\0"] {
        let server = Server::new(move |mut stream| {
            log_in(&mut stream);
            while stream.write_all(&flood.repeat(1000)).is_ok() {}
        });
        let since = Instant::now();
        let refusal = asked(&server, "sslmode=disable").unwrap_err();
        assert!(since.elapsed() < LONG && !refusal.is_timeout, "{refusal}");
    }
}

#[test]
fn one_that_closes_in_the_middle_is_told() {
    let after_login = Server::new(|mut stream| log_in(&mut stream));
    assert_eq!(asked(&after_login, "").unwrap_err().text, "closed the connection before it answered");

    let shut_down = Server::new(|mut stream| {
        log_in(&mut stream);
        let _ = stream.write_all(&error("57P01", "terminating connection due to administrator command"));
    });
    let refusal = asked(&shut_down, "").unwrap_err();
    assert_eq!(refusal.sqlstate.as_deref(), Some("57P01"), "{refusal}");
}

#[test]
fn silence_ends_at_the_deadline_and_spoils_nobody() {
    let silent = Server::silent();
    let dripping = Server::new(|mut stream| {
        message(&mut stream);
        for byte in b"R\0\0\0\x08\0\0\0\0" {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
    });
    let frozen = Frozen::new();
    let standby = healthy(["t", "on", "1", "7", "0/0", "t"]);
    let refusing = local(refusing().port());
    let routes = [route(&silent), route(&dripping), refusing, route(&standby), frozen.route()];
    let since = Instant::now();
    let limit = Duration::from_millis(500);
    let answers = ask_all(&routes, &login(), &configured("sslmode=disable"), Deadline::after(limit), LONG);
    assert!(since.elapsed() >= limit && since.elapsed() < limit + Duration::from_millis(300));
    let texts: Vec<String> = answers.iter().map(|answer| answer.as_ref().map_or_else(told, |_| "ok".into())).collect();
    let late = "no answer within 500ms, though it accepts connections";
    assert_eq!(texts, [late, late, "connection refused", "ok", late]);
    let timeouts: Vec<bool> = answers.iter().map(|answer| answer.as_ref().is_err_and(|e| e.is_timeout)).collect();
    assert_eq!(timeouts, [true, true, false, false, true]);
}

#[test]
fn after_the_first_primary_the_others_have_a_little_patience() {
    let silent = Server::silent();
    let slow = Server::new(|mut stream| {
        log_in(&mut stream);
        thread::sleep(Duration::from_millis(100));
        let _ = stream.write_all(&row(&["f", "off", "00000002", "7", "0/0", "f"]));
        drain(&mut stream);
    });
    let primary = healthy(["f", "off", "00000001", "7", "0/0", "f"]);
    let routes = [route(&silent), route(&slow), route(&primary)];
    let since = Instant::now();
    let patience = Duration::from_millis(400);
    let answers = ask_all(&routes, &login(), &configured("sslmode=disable"), Deadline::after(LONG), patience);
    assert!(since.elapsed() >= patience && since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert!(answers[0].as_ref().is_err_and(|refusal| refusal.is_timeout));
    assert!(answers[1].is_ok() && answers[2].is_ok());

    // Without anybody who is silent nobody waits.
    let since = Instant::now();
    ask_all(&routes[1..], &login(), &configured("sslmode=disable"), Deadline::after(LONG), LONG);
    assert!(since.elapsed() < LONG / 2);
    assert!(ask_all(&[], &login(), &configured(""), Deadline::after(LONG), LONG).is_empty());
    let past = ask(&route(&primary), &login(), &configured(""), Deadline::after(Duration::ZERO));
    assert!(past.is_err_and(|refusal| refusal.is_timeout));
}

#[test]
fn tls_is_asked_for_as_the_mode_says() {
    let without = || healthy(["f", "off", "00000001", "7", "0/0", "f"]);
    assert!(asked(&without(), "sslmode=allow").is_ok());
    assert!(asked(&without(), "sslmode=prefer").is_ok());
    for mode in ["require", "verify-ca&sslrootcert=tests/probing.rs"] {
        let refusal = asked(&without(), &format!("sslmode={mode}")).unwrap_err();
        assert!(refusal.text.starts_with("has no TLS") || refusal.text.starts_with("TLS: file"), "{refusal}");
    }
    let config = configured("sslmode=require");
    assert_eq!(fault(&login(), &route(&without()), &config, Deadline::after(LONG)), Some(Fault::Login));

    // It says that it has TLS, and has none.
    let liar = Server::new(|mut stream| {
        if message(&mut stream).len() == 8 {
            let _ = stream.write_all(b"Slovenly");
            drain(&mut stream);
            return;
        }
        let _ = stream.write_all(&[authentication_ok(), ready()].concat());
        message(&mut stream);
        let _ = stream.write_all(&row(&["f", "off", "00000001", "7", "0/0", "f"]));
        drain(&mut stream);
    });
    assert!(asked(&liar, "sslmode=require").unwrap_err().text.starts_with("TLS: "));
    assert!(asked(&liar, "sslmode=prefer").is_ok());

    // With libpq it might have TLS: a password would not have been sent in the clear.
    let (sender, answers) = mpsc::channel();
    let greedy = Server::new(move |mut stream| {
        if message(&mut stream).len() == 8 {
            let _ = stream.write_all(b"Slovenly");
            drain(&mut stream);
            return;
        }
        let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\x03");
        let _ = sender.send(message(&mut stream));
    });
    let refusal = asked(&greedy, "sslmode=prefer").unwrap_err();
    assert_eq!(refusal.text, "wants the password in the clear, and TLS did not come about");
    assert_eq!(answers.recv_timeout(LONG).unwrap(), b"");
}

#[test]
fn a_password_is_sent_only_to_who_may_ask_for_it() {
    let (sender, answers) = mpsc::channel();
    let server = Server::new(move |mut stream| {
        message(&mut stream);
        let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\x03");
        let _ = sender.send(message(&mut stream));
    });
    let refusal = asked(&server, "sslmode=disable&require_auth=scram-sha-256").unwrap_err();
    assert!(refusal.text.starts_with("wants the authentication password"), "{refusal}");
    assert_eq!(answers.recv_timeout(LONG).unwrap(), b"");
    let refusal = asked(&server, "sslmode=disable&channel_binding=require").unwrap_err();
    assert!(refusal.text.contains("channel binding"), "{refusal}");
    assert_eq!(answers.recv_timeout(LONG).unwrap(), b"");

    let nobody = Login { password: None, ..login() };
    let config = configured("sslmode=disable&passfile=/nowhere");
    let refusal = ask(&route(&server), &nobody, &config, Deadline::after(LONG)).unwrap_err();
    assert_eq!(refusal.text, "asks for the password of \"app\" (password), and none is known");
    assert_eq!(fault(&nobody, &route(&server), &config, Deadline::after(LONG)), None);
}

#[test]
fn no_password_is_in_a_refusal() {
    for kind in [3, 5] {
        let server = Server::new(move |mut stream| {
            message(&mut stream);
            let _ = stream.write_all(&[b'R', 0, 0, 0, if kind == 5 { 12 } else { 8 }, 0, 0, 0, kind]);
            if kind == 5 {
                let _ = stream.write_all(b"salt");
            }
            // A server that has the password could say it.
            message(&mut stream);
            let _ = stream.write_all(&error("28P01", "password \"hunter2\" is wrong"));
        });
        let refusal = asked(&server, "sslmode=disable").unwrap_err();
        assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
    }
    assert!(!format!("{:?}", login()).contains("hunter2"));
}

const LONG: Duration = Duration::from_secs(5);

fn login() -> Login {
    Login { user: "app".into(), password: Some(Secret::new("hunter2")), database: Some("shop".into()) }
}

fn configured(options: &str) -> Config {
    Config::parse(&format!("patroni://a/app?{options}")).unwrap()
}

fn asked(server: &Server, options: &str) -> Result<Standing, Refusal> {
    ask(&route(server), &login(), &configured(options), Deadline::after(LONG))
}

fn told(refusal: &Refusal) -> String {
    refusal.text.clone()
}

fn local(port: u16) -> Route {
    Route { host: Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), address: None, port }
}

/// A server that lets everybody in, has no TLS, and answers every question with this row.
fn healthy(columns: [&'static str; 6]) -> Server {
    Server::new(move |mut stream| {
        log_in(&mut stream);
        let _ = stream.write_all(&row(&columns));
        drain(&mut stream);
    })
}

fn route(server: &Server) -> Route {
    local(server.port())
}

/// A process that is stopped: its system accepts connections, and it does not.
struct Frozen(TcpListener);

impl Frozen {
    fn new() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).unwrap())
    }

    fn route(&self) -> Route {
        local(self.0.local_addr().unwrap().port())
    }
}
