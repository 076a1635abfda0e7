//! One GET over HTTP or HTTPS.

mod connect;

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::{ClientConfig, InvalidMessage};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, NextTimeout, TcpConnector};

use super::{Reason, humane};
use crate::address::{Endpoint, Host};
use crate::config::BasicAuth;
use crate::sys::clock::Deadline;
use crate::sys::names;
use crate::tls;

use connect::{Failure, TlsIfAsked, is_hang_up, server_name};

/// A server that speaks HTTP, and what it takes to speak to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api<'a> {
    /// Where.
    pub(super) endpoint: &'a Endpoint,
    /// The addresses of its host; empty: they are looked up.
    pub(super) addresses: &'a [IpAddr],
    /// How to speak TLS; `None`: plain HTTP.
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    /// Basic authentication (RFC 7617).
    pub(super) auth: Option<&'a BasicAuth>,
    /// What a message says how long there was no answer: the limit as the user knows it.
    pub(super) limit: Duration,
}

/// An answer of any status but a redirect and those that want other credentials.
#[derive(Debug)]
pub(super) struct Response {
    /// The status (RFC 9110 section 15).
    pub(super) status: u16,
    /// 1 MiB at most.
    pub(super) body: Vec<u8>,
}

/// One GET of `path`, which begins with a slash. Ends by `deadline`.
///
/// # Errors
///
/// Why there is no answer, or that it is a redirect, 401 or 403.
pub(super) fn get(api: &Api, path: &str, deadline: Deadline) -> Result<Response, Reason> {
    let Api { endpoint, limit, .. } = *api;
    let tls = match api.tls {
        Some(config) => Some((Arc::clone(config), server_name(&endpoint.host).map_err(Reason::other)?)),
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let addresses = KnownAddresses::of(api, deadline)?;
    let remaining = deadline.remaining().ok_or_else(|| Reason::timeout(limit))?;

    let agent = ureq::Agent::with_parts(
        ureq::config::Config::builder()
            .timeout_global(Some(remaining))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            // Neither a proxy of the environment nor a connection that outlives the call or a fork.
            .proxy(None)
            .max_idle_connections(0)
            .user_agent(concat!("hadsn/", env!("CARGO_PKG_VERSION")))
            .build(),
        TcpConnector::default().chain(TlsIfAsked { tls, deadline }),
        addresses,
    );
    let mut request = agent.get(format!("{scheme}://{endpoint}{path}")).header("connection", "close");
    if let Some(auth) = api.auth {
        let pair = format!("{}:{}", auth.user, auth.password.reveal());
        request = request.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(pair)));
    }
    let response = request.call().map_err(|e| explain(e, limit))?;
    let status = response.status();
    match status.as_u16() {
        401 if api.auth.is_none() => {
            return Err(Reason::other("answered 401: patroni_user and patroni_password are needed"));
        }
        status @ (401 | 403) => {
            return Err(Reason::other(format!(
                "answered {status}: patroni_user and patroni_password, or the address of this host, are not accepted"
            )));
        }
        status if response.status().is_redirection() => {
            return Err(Reason::other(format!("answered {status}: redirects are not followed")));
        }
        _ => {}
    }
    let mut body = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(MAX_ANSWER + 1)
        .read_to_end(&mut body)
        .map_err(|e| explain(ureq::Error::from(e), limit))?;
    if body.len() as u64 > MAX_ANSWER {
        return Err(Reason::other("the answer is larger than 1 MiB"));
    }
    Ok(Response { status: status.as_u16(), body })
}

fn explain(error: ureq::Error, limit: Duration) -> Reason {
    match error {
        ureq::Error::Timeout(_) => Reason::timeout(limit),
        ureq::Error::Io(e) => match (tls_error(&e), e.kind()) {
            (Some(e), _) => Reason::other(format!("TLS: {}", tls::explain(e))),
            (None, ErrorKind::TimedOut) => Reason::timeout(limit),
            (None, ErrorKind::ConnectionRefused) => Reason::other("connection refused"),
            (None, _) => Reason::other(format!("the exchange broke off: {e}")),
        },
        ureq::Error::ConnectionFailed => Reason::other("could not connect"),
        ureq::Error::Other(other) => match other.downcast::<Failure>() {
            Ok(failure) => explain_failure(*failure, limit),
            Err(other) => Reason::other(format!("not a usable HTTP answer: {other}")),
        },
        other => Reason::other(format!("not a usable HTTP answer: {other}")),
    }
}

fn explain_failure(failure: Failure, limit: Duration) -> Reason {
    const IS_PLAIN: &str = "is it patroni:// instead of patroni+https://?";
    match failure {
        Failure::IsTls => Reason::other("speaks TLS: write patroni+https://"),
        Failure::HungUp => {
            Reason::other("the exchange broke off before an answer: if it speaks TLS, write patroni+https://")
        }
        Failure::Handshake(ureq::Error::Io(e)) => match tls_error(&e) {
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                Reason::other(format!("speaks no TLS: {IS_PLAIN}"))
            }
            None if is_hang_up(e.kind()) => Reason::other(format!("hung up in the TLS handshake: {IS_PLAIN}")),
            _ => explain(ureq::Error::Io(e), limit),
        },
        // A server that takes the handshake for the beginning of a request waits for the rest of it.
        Failure::Handshake(ureq::Error::Timeout(_)) => Reason {
            text: format!("no answer to the TLS handshake within {}: {IS_PLAIN}", humane(limit)),
            is_timeout: true,
        },
        Failure::Handshake(e) => explain(e, limit),
    }
}

fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Hands ureq the addresses that are known already: its own resolver starts a thread for each call.
#[derive(Debug)]
struct KnownAddresses(Vec<SocketAddr>);

impl KnownAddresses {
    fn of(api: &Api, deadline: Deadline) -> Result<Self, Reason> {
        let with_port = |addresses: &[IpAddr]| addresses.iter().map(|ip| (*ip, api.endpoint.port).into()).collect();
        Ok(Self(match &api.endpoint.host {
            Host::Ip(ip) => with_port(&[*ip]),
            Host::Name(_) if !api.addresses.is_empty() => with_port(api.addresses),
            Host::Name(name) => with_port(&names::look_up(name, deadline).map_err(Reason::of_name)?),
        }))
    }
}

impl Resolver for KnownAddresses {
    fn resolve(
        &self,
        _uri: &ureq::http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        for address in self.0.iter().take(MAX_ADDRESSES) {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}

/// A hundred members take about 30 KiB.
const MAX_ANSWER: u64 = 1 << 20;

/// ureq holds 16 addresses at most.
const MAX_ADDRESSES: usize = 16;
