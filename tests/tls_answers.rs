//! TLS to the REST API: which certificates are good, and what is said of those that are not.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "fake/authority.rs"]
#[allow(dead_code, reason = "unit tests use the rest")]
mod authority;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use authority::{Authority, Folder, Pair};
use hadsn::config::Config;
use hadsn::discovery::{Found, Memory, discover};
use hadsn::error::Error;
use hadsn::sys::clock::Deadline;
use hadsn::tls::{Identity, Roots, Settings, Trust};
use rcgen::{SerialNumber, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[test]
fn a_private_issuer_is_trusted_when_it_is_in_the_file() {
    let ours = Authority::new("ours");
    let port = serve(ours.issue(&["localhost"]).server(None));
    let folder = Folder::new();
    let file = folder.file("ca.pem", &ours.pem());
    let found = ask("localhost", port, &verifying(&file)).unwrap();
    assert_eq!(found.topology.members.len(), 1);
}

#[test]
fn an_answer_that_is_cut_off_without_a_close_notify_is_still_read() {
    let ours = Authority::new("ours");
    let server = Arc::new(ours.issue(&["localhost"]).server(None));
    let port = listen(move |stream| {
        let mut stream = accept(stream, &server);
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"members\":[]}").unwrap();
    });
    let folder = Folder::new();
    assert!(ask("localhost", port, &verifying(&folder.file("ca.pem", &ours.pem()))).is_ok());
}

#[test]
fn a_bad_certificate_is_refused_and_the_message_says_what_is_wrong() {
    let (ours, theirs, namesake) = (Authority::new("ours"), Authority::new("theirs"), Authority::new("ours"));
    let in_the_past = ours.issue_with(&["localhost"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 2, 3);
    });
    let in_the_future = ours.issue_with(&["localhost"], |params| params.not_before = date_time_ymd(2090, 4, 5));
    let folder = Folder::new();
    let trusted = folder.file("ca.pem", &ours.pem());
    for (what, pair, reason) in [
        ("wrong CA", theirs.issue(&["localhost"]), "signed by an issuer that patroni_cafile/sslrootcert does not hold"),
        ("a CA of that name", namesake.issue(&["localhost"]), "hold an issuer of the same name with another key"),
        ("self-signed", Pair::self_signed(&["localhost"], |_| {}), "is that of an issuer (CA:TRUE)"),
        ("expired", in_the_past, "the certificate has expired (not after 2021-02-03 00:00:00 UTC)"),
        ("not yet", in_the_future, "the certificate is not valid yet (not before 2090-04-05 00:00:00 UTC)"),
        (
            "wrong name",
            ours.issue(&["pg2.example", "10.0.0.1"]),
            "is for other names (\"pg2.example\", \"10.0.0.1\"), not for localhost",
        ),
        ("no SAN", ours.issue(&[]), "names no host in a subject alternative name, so it is not for localhost"),
    ] {
        let port = serve(pair.server(None));
        let error = ask("localhost", port, &verifying(&trusted)).unwrap_err();
        let message = error.message();
        assert!(message.contains(&format!("patroni localhost:{port}: TLS: the certificate ")), "{what}: {message}");
        assert!(message.contains(reason), "{what}: {message}");
    }
}

#[test]
fn an_ip_address_counts_when_the_certificate_names_it() {
    let ours = Authority::new("ours");
    let folder = Folder::new();
    let settings = verifying(&folder.file("ca.pem", &ours.pem()));
    let port = serve(ours.issue(&["127.0.0.1"]).server(None));
    assert!(ask("127.0.0.1", port, &settings).is_ok());
    let port = serve(ours.issue(&["localhost"]).server(None));
    let error = ask("127.0.0.1", port, &settings).unwrap_err();
    assert!(error.message().contains("is for other names (\"localhost\"), not for 127.0.0.1"), "{error}");
}

#[test]
fn a_self_signed_certificate_is_trusted_when_it_stands_in_the_file_itself() {
    let ours = Authority::new("ours");
    let pinned = Pair::self_signed(&["localhost"], |_| {});
    let expired = Pair::self_signed(&["localhost"], |params| params.not_after = date_time_ymd(2021, 1, 1));
    let other_name = Pair::self_signed(&["pg2"], |_| {});
    let folder = Folder::new();
    let bundle = [ours.pem(), pinned.pem.clone(), expired.pem.clone(), other_name.pem.clone()].concat();
    let settings = verifying(&folder.file("bundle.pem", &bundle));
    assert!(ask("localhost", serve(pinned.server(None)), &settings).is_ok());
    let error = ask("localhost", serve(expired.server(None)), &settings).unwrap_err();
    assert!(error.message().contains("has expired (not after 2021-01-01"), "{error}");
    let error = ask("localhost", serve(other_name.server(None)), &settings).unwrap_err();
    assert!(error.message().contains("is for other names (\"pg2\")"), "{error}");
    // Somebody else's key behind a certificate that looks the same is another certificate.
    let error = ask("localhost", serve(Pair::self_signed(&["localhost"], |_| {}).server(None)), &settings).unwrap_err();
    assert!(error.message().contains("TLS: the certificate "), "{error}");
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_wants_one() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = Folder::new();
    let mut settings = verifying(&folder.file("ca.pem", &ours.pem()));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let port = serve(ours.issue(&["localhost"]).server_of(&[version], Some(&ours)));

        settings.identity = None;
        let error = ask("localhost", port, &settings).unwrap_err();
        assert!(error.message().contains("TLS: the server "), "{error}");
        assert!(error.message().contains("client certificate"), "{error}");

        settings.identity = Some(identity(&folder, "wrong", &theirs.issue(&["app"])));
        let error = ask("localhost", port, &settings).unwrap_err();
        assert!(error.message().contains("TLS: the server "), "{error}");
        assert!(error.message().contains("our client certificate"), "{error}");

        settings.identity = Some(identity(&folder, "good", &ours.issue(&["app"])));
        assert!(ask("localhost", port, &settings).is_ok());
    }
}

#[test]
fn a_revoked_certificate_is_refused() {
    let ours = Authority::new("ours");
    let numbered = |number: u64| {
        serve(
            ours.issue_with(&["localhost"], |params| params.serial_number = Some(SerialNumber::from(number)))
                .server(None),
        )
    };
    let folder = Folder::new();
    let mut settings = verifying(&folder.file("ca.pem", &ours.pem()));
    settings.revoked = Some(folder.file("crl.pem", &ours.revoked(&[7], 2090)));
    assert!(ask("localhost", numbered(8), &settings).is_ok());
    let error = ask("localhost", numbered(7), &settings).unwrap_err();
    assert!(error.message().contains("the certificate is revoked"), "{error}");

    settings.revoked = Some(folder.file("old.pem", &ours.revoked(&[], 2021)));
    let error = ask("localhost", numbered(8), &settings).unwrap_err();
    assert!(error.message().contains("revocation list has expired (next update 2021-01-01"), "{error}");

    settings.revoked = Some(folder.file("foreign.pem", &Authority::new("theirs").revoked(&[], 2090)));
    let error = ask("localhost", numbered(8), &settings).unwrap_err();
    assert!(error.message().contains("an issuer without a certificate revocation list"), "{error}");
}

#[test]
fn plain_http_where_tls_is_expected_is_named() {
    let folder = Folder::new();
    let settings = verifying(&folder.file("ca.pem", &Authority::new("ours").pem()));
    let answers = listen(|mut stream| {
        let mut chunk = [0; 4096];
        let _ = stream.read(&mut chunk);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
    let error = ask("localhost", answers, &settings).unwrap_err();
    assert!(error.message().contains("speaks no TLS: is it patroni:// instead of patroni+https://?"), "{error}");

    let hangs_up = listen(drop);
    let error = ask("localhost", hangs_up, &settings).unwrap_err();
    assert!(error.message().contains("hung up in the TLS handshake: is it patroni://"), "{error}");
}

#[test]
fn tls_where_plain_http_is_expected_is_named() {
    let port = serve(Authority::new("ours").issue(&["localhost"]).server(None));
    let error = ask_plain("localhost", port).unwrap_err();
    assert!(error.message().contains(&format!("localhost:{port}: speaks TLS: write patroni+https://")), "{error}");

    // OpenSSL reads the head of a record, finds no TLS, and hangs up without a word.
    let hangs_up = listen(|mut stream| {
        let _ = stream.read_exact(&mut [0; 5]);
    });
    let error = ask_plain("localhost", hangs_up).unwrap_err();
    assert!(error.message().contains("before an answer: if it speaks TLS, write patroni+https://"), "{error}");
}

#[test]
fn a_handshake_or_an_answer_that_stalls_or_drips_ends_by_the_timeout() {
    let ours = Authority::new("ours");
    let folder = Folder::new();
    let settings = verifying(&folder.file("ca.pem", &ours.pem()));
    let silent = listen(|stream| {
        thread::sleep(Duration::from_secs(20));
        drop(stream);
    });
    let dripping = listen(|mut stream| {
        // The head of a handshake record of 16,000 bytes, which never end.
        let _ = stream.write_all(&[22, 3, 3, 62, 128, 2, 0, 62, 124]);
        while stream.write_all(&[3]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let server = Arc::new(ours.issue(&["localhost"]).server(None));
    let slow = listen(move |stream| {
        let mut stream = accept(stream, &server);
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let handshake = "no answer to the TLS handshake within 400ms: is it patroni://";
    for (port, reason) in [(silent, handshake), (dripping, handshake), (slow, "no answer within 400ms")] {
        let begun = Instant::now();
        let error = ask_within("400ms", "localhost", port, Some(settings.clone())).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(error.message().contains(reason), "{error}");
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let folder = Folder::new();
    let file = folder.path().join("none.pem");
    let error = ask("localhost", 1, &verifying(&file)).unwrap_err();
    assert!(error.message().contains(&format!("source 1: TLS: file {}: no such file", file.display())), "{error}");
}

#[test]
fn a_wrong_password_of_the_api_is_named() {
    let answers = |status: &'static str| {
        listen(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
        })
    };
    let error = ask_plain("localhost", answers("401 Unauthorized")).unwrap_err();
    assert!(error.message().contains("answered 401: patroni_user and patroni_password are needed"), "{error}");
    let error = ask_plain("localhost", answers("403 Forbidden")).unwrap_err();
    assert!(error.message().contains("answered 403: patroni_user and patroni_password"), "{error}");
}

fn verifying(file: &Path) -> Settings {
    Settings { trust: Trust::IssuerAndName(Roots::File(file.to_owned())), identity: None, revoked: None }
}

fn identity(folder: &Folder, name: &str, pair: &Pair) -> Identity {
    Identity {
        certificate: folder.file(&format!("{name}.crt"), &pair.pem),
        key: folder.file(&format!("{name}.key"), &pair.key.serialize_pem()),
    }
}

fn ask(host: &str, port: u16, settings: &Settings) -> Result<Found, Error> {
    ask_within("20s", host, port, Some(settings.clone()))
}

fn ask_plain(host: &str, port: u16) -> Result<Found, Error> {
    ask_within("20s", host, port, None)
}

fn ask_within(timeout: &str, host: &str, port: u16, settings: Option<Settings>) -> Result<Found, Error> {
    let scheme = if settings.is_some() { "patroni+https" } else { "patroni" };
    let mut config = Config::parse(&format!("{scheme}://{host}:{port}/app?timeout={timeout}")).unwrap();
    config.patroni_tls = settings.unwrap_or(config.patroni_tls);
    let deadline = Deadline::after(config.timing.timeout);
    discover(&Arc::new(config), &Memory::default(), None, deadline).result
}

/// A Patroni with this certificate, on a port of its own.
fn serve(config: ServerConfig) -> u16 {
    let config = Arc::new(config);
    listen(move |stream| {
        let mut stream = accept(stream, &config);
        if !read_request(&mut stream) {
            return;
        }
        let body = r#"{"members":[{"name":"pg1","role":"leader","state":"running","host":"10.0.0.1","port":5432,"timeline":1}]}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        stream.conn.send_close_notify();
        let _ = stream.flush();
    })
}

fn accept(stream: TcpStream, config: &Arc<ServerConfig>) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream)
}

/// Whether it came whole.
fn read_request(stream: &mut impl Read) -> bool {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.extend(byte),
            _ => return false,
        }
    }
    true
}

/// A server that does this with each connection, until the tests end.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    port
}
