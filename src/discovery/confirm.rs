//! Asks a member itself what it is: its own REST API, by whichever way leads there.

use std::sync::Arc;

use rustls::ClientConfig;

use super::Reason;
use super::believe::Word;
use super::http::{self, Api};
use super::patroni::{self, Own};
use super::race::race;
use super::targets::Target;
use crate::address::{Endpoint, Host};
use crate::config::{BasicAuth, Config};
use crate::error::shown;
use crate::sys::clock::Deadline;
use crate::sys::names;
use crate::topology::Member;

/// How the endpoints of a source are spoken to.
#[derive(Clone)]
pub(super) struct Speech {
    pub(super) config: Arc<Config>,
    /// Set for HTTPS.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Speech {
    /// One GET of an endpoint of the source.
    pub(super) fn get(&self, target: &Target, path: &str, deadline: Deadline) -> Result<http::Response, Reason> {
        self.get_as(target, path, self.config.patroni_auth.as_ref(), deadline)
    }

    fn get_as(
        &self,
        target: &Target,
        path: &str,
        auth: Option<&BasicAuth>,
        deadline: Deadline,
    ) -> Result<http::Response, Reason> {
        let api = Api {
            endpoint: &target.endpoint,
            addresses: &target.addresses,
            tls: self.tls.as_ref(),
            auth,
            limit: self.config.timing.timeout,
        };
        http::get(&api, path, deadline)
    }

    /// What the node at `target` says of itself. Whoever announces an address must not get a password by it: one that the source
    /// does not name gets it only over TLS, which shows who it is.
    fn own(&self, target: &Target, is_of_source: bool, deadline: Deadline) -> Result<Own, Reason> {
        let auth = self.config.patroni_auth.as_ref().filter(|_| is_of_source || self.tls.is_some());
        let response = self.get_as(target, "/patroni", auth, deadline)?;
        patroni::parse_own(response.status, &response.body).map_err(Reason::other)
    }
}

/// What `member` says of itself. `targets` are the endpoints of its source: one of them may be its API under an address that
/// can be reached, or under the name that its certificate is for.
///
/// The likeliest is asked on this thread. If that is not the member, or takes longer than `hedge`, all are asked beside each
/// other, provided that they are to be searched, and the one that calls itself by the member's name counts. Ends by `deadline`.
pub(super) fn ask(
    member: &Member,
    scope: Option<&str>,
    targets: &[Target],
    is_search: bool,
    speech: &Speech,
    deadline: Deadline,
) -> Word {
    let config = &speech.config;
    if member.api_url.is_none() {
        return Word::Nothing("it announces no API".to_owned());
    }
    let announced = announced(member, config, deadline);
    let first = match (&announced, targets.first()) {
        (Ok(announced), _) => {
            targets.iter().find(|target| target.is_at(&announced.endpoint)).unwrap_or(announced).clone()
        }
        (Err(_), Some(first)) => first.clone(),
        (Err(reason), None) => return Word::Nothing(reason.clone()),
    };
    let others: Vec<Target> = targets.iter().filter(|target| is_search && **target != first).cloned().collect();
    let first_deadline = if others.is_empty() { deadline } else { deadline.or_after(config.timing.hedge) };
    let is_of_source = targets.contains(&first);
    let answer = speech.own(&first, is_of_source, first_deadline);
    let is_late = matches!(&answer, Err(reason) if reason.is_timeout) && first_deadline < deadline;
    let mut reason = match answer.map(|own| of_member(own, member, scope, false)) {
        Ok(Ok(word)) => return word,
        Ok(Err(other)) => format!("its API is not at {}: {other}", first.endpoint),
        Err(reason) => format!("its API {}: {}", first.endpoint, reason.text),
    };
    if let Err(why) = announced {
        reason = why;
    }
    let mut asked: Vec<(Target, bool)> = others.into_iter().map(|target| (target, true)).collect();
    if is_late {
        asked.push((first, is_of_source));
    }
    let count = asked.len();
    let speech = speech.clone();
    let answers = race("hadsn-confirm", count, move |number| {
        let (target, is_of_source) = asked.get(number)?;
        Some(speech.own(target, *is_of_source, deadline))
    });
    while let Ok((_, answer)) = answers.recv_timeout(deadline.remaining().unwrap_or_default()) {
        if let Some(Ok(own)) = answer
            && let Ok(word) = of_member(own, member, scope, true)
        {
            return word;
        }
    }
    Word::Nothing(reason)
}

/// Where the member's API is announced, through `map`.
fn announced(member: &Member, config: &Config, deadline: Deadline) -> Result<Target, String> {
    let endpoint = match member.api_url.as_deref().map(patroni::api_endpoint) {
        Some(Some(endpoint)) => endpoint,
        _ => return Err("the URL of its API is malformed".to_owned()),
    };
    let endpoint = config.map.look_up_service(&endpoint);
    let Some(allowed) = &config.allow_hosts else { return Ok(Target { endpoint, addresses: Vec::new() }) };
    let addresses = match &endpoint.host {
        Host::Ip(ip) => vec![*ip],
        Host::Name(name) => names::look_up(name, deadline).map_err(|failure| failure.text)?,
    };
    let addresses: Vec<_> = addresses.into_iter().filter(|ip| allowed.contains(&endpoint.host, Some(*ip))).collect();
    match addresses.is_empty() {
        true => Err(format!("its API {} is outside allow_hosts", shown(&endpoint.to_string()))),
        false => Ok(Target { endpoint, addresses }),
    }
}

/// `own` as the word of `member` of the cluster `scope`, unless it is somebody else's. Where it was searched for, only its name can
/// tell that it is the member.
fn of_member(own: Own, member: &Member, scope: Option<&str>, was_searched: bool) -> Result<Word, String> {
    match &own.name {
        Some(name) if *name != member.name => return Err(format!("there is {}", shown(name))),
        None if was_searched => return Err("it does not tell its name".to_owned()),
        _ => {}
    }
    if let (Some(own), Some(scope)) = (&own.scope, scope)
        && own != scope
    {
        return Err(format!("there is a node of the cluster {}", shown(own)));
    }
    // The one that is named may be another one by now, at another address.
    if was_searched && own.is_primary && own.timeline < member.timeline {
        return Err("it is on a lower timeline".to_owned());
    }
    Ok(match own.is_primary {
        true => Word::Primary { timeline: own.timeline, system: own.system },
        false => Word::Other { what: format!("it is {}", own.what), system: own.system },
    })
}

/// Whether the members' APIs can be compared with the endpoints of the source, and some of those are not among them: then
/// the endpoint that was asked may belong to another cluster.
pub(super) fn is_odd(members: &[Member], asked: &Target, targets: &[Target]) -> bool {
    let apis: Vec<Endpoint> =
        members.iter().filter_map(|member| member.api_url.as_deref().and_then(patroni::api_endpoint)).collect();
    let is_among = |target: &Target| apis.iter().any(|api| target.is_at(api));
    let can_be_compared =
        |target: &&Target| matches!(target.endpoint.host, Host::Ip(_)) || !target.addresses.is_empty();
    is_among(asked) && targets.iter().filter(can_be_compared).any(|target| !is_among(target))
}
