//! One question to the name servers: over UDP, and over TCP when the answer is cut (RFC 1035, RFC 7766).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Servers;
use super::sockets::Sockets;
use crate::error::shown;
use crate::sys::clock::Deadline;
use crate::sys::names::Failure;
use crate::sys::random;

/// Asks the name servers of one look-up.
pub(super) struct Asker {
    servers: Vec<SocketAddr>,
    timeout: Duration,
    attempts: u32,
    /// The number of the server that answered last: it is asked first.
    preferred: AtomicUsize,
    sockets: Sockets,
}

/// Records that were asked for.
#[derive(Debug)]
pub(super) struct Found {
    /// Of the right name and type; never empty.
    pub(super) records: Vec<Record>,
    /// What the server sent along.
    pub(super) additionals: Vec<Record>,
    /// The shortest life of a record, or of an alias that led to it.
    pub(super) ttl: Duration,
}

/// Why there are none.
#[derive(Debug)]
pub(super) enum Lack {
    /// The name does not exist.
    NoName,
    /// The name exists, and has no records of this type.
    NoRecords(RecordType),
    /// The aliases lead to each other, or to one more again and again.
    Circle,
    /// No server gave an answer.
    Unanswered(Failure),
}

impl Lack {
    /// Whether another name of the search list would only cost time.
    pub(super) fn ends_search(&self) -> bool {
        match self {
            Self::NoName | Self::NoRecords(_) => false,
            Self::Circle => true,
            Self::Unanswered(failure) => failure.is_late,
        }
    }

    /// What to report of a search: rather that a name has no such records than that a server fails, and rather that
    /// than that there is no such name.
    pub(super) fn tells_more_than(&self, other: &Self) -> bool {
        let rank = |lack: &Self| match lack {
            Self::NoName => 0,
            Self::Unanswered(_) => 1,
            Self::NoRecords(_) => 2,
            Self::Circle => 3,
        };
        rank(self) > rank(other)
    }

    pub(super) fn into_failure(self) -> Failure {
        let text = match self {
            Self::NoName => "no such name (NXDOMAIN)".to_owned(),
            Self::NoRecords(kind) => format!("the name has no {kind} records"),
            Self::Circle => "its aliases lead in a circle (CNAME)".to_owned(),
            Self::Unanswered(failure) => return failure,
        };
        Failure { text, is_late: false }
    }
}

impl Asker {
    pub(super) fn new(servers: &Servers) -> Self {
        Self {
            servers: servers.addresses.clone(),
            timeout: servers.timeout,
            attempts: servers.attempts,
            preferred: AtomicUsize::new(0),
            sockets: Sockets::default(),
        }
    }

    /// The records of type `kind` of `name`, or of the name that it is an alias of.
    pub(super) async fn records(&self, name: &Name, kind: RecordType, deadline: Deadline) -> Result<Found, Lack> {
        let mut trail = Trail { end: name.clone(), passed: Vec::new(), ttl: Duration::MAX };
        loop {
            let question = Query::query(trail.end.clone(), kind);
            let answer = self.ask(&question, deadline).await.map_err(Lack::Unanswered)?;
            let has_moved = trail.follow(&answer.answers)?;
            let records: Vec<Record> =
                answer.answers.into_iter().filter(|record| belongs(record, &trail.end, kind)).collect();
            if !records.is_empty() {
                let ttl = records.iter().map(lifetime).fold(trail.ttl, Duration::min);
                return Ok(Found { records, additionals: answer.additionals, ttl });
            }
            if answer.metadata.response_code == ResponseCode::NXDomain {
                return Err(Lack::NoName);
            }
            // A server that does not know where the alias leads to leaves it to us.
            if !has_moved {
                return Err(Lack::NoRecords(kind));
            }
        }
    }

    /// The first answer of a server: that there is something, that there is nothing, or that there is no such name.
    ///
    /// The servers are asked in turn: the next one when the one before has failed or has let its time pass, and each
    /// `attempts` times. All stay listened to. The time is `timeout`, or less if not all would have their turn until `deadline`.
    /// From the second attempt on the question goes without EDNS, which some servers and firewalls swallow.
    async fn ask(&self, question: &Query, deadline: Deadline) -> Result<Message, Failure> {
        let count = self.servers.len();
        let sends = self.attempts.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)).max(1);
        let end = deadline.or_after(self.timeout.saturating_mul(sends));
        let pause = end.remaining().unwrap_or_default() / sends;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut turns =
            (0..self.attempts).flat_map(|attempt| (first..first + count).map(move |turn| (turn % count, attempt == 0)));

        let mut troubles: Vec<Option<Failure>> = self.servers.iter().map(|_| None).collect();
        let mut running = JoinSet::new();
        loop {
            let turn = turns.by_ref().find(|(number, _)| troubles.get(*number).is_some_and(Option::is_none));
            let until = match turn.and_then(|(number, has_edns)| Some((number, has_edns, *self.servers.get(number)?))) {
                Some((number, has_edns, server)) => {
                    let (question, sockets) = (question.clone(), self.sockets.clone());
                    running.spawn(async move { (number, exchange(server, question, has_edns, sockets, end).await) });
                    end.or_after(pause)
                }
                None if running.is_empty() => break,
                None => end,
            };
            match first_done(&mut running, until).await {
                Some((number, Ok(message))) => {
                    self.preferred.store(number, Ordering::Relaxed);
                    return Ok(message);
                }
                Some((number, Err(failure))) => {
                    if let Some(trouble) = troubles.get_mut(number) {
                        *trouble = Some(failure);
                    }
                    if troubles.iter().all(Option::is_some) {
                        break;
                    }
                }
                None if turn.is_none() => break,
                None => {}
            }
        }
        Err(self.all(troubles))
    }

    fn all(&self, troubles: Vec<Option<Failure>>) -> Failure {
        let troubles: Vec<Failure> = self
            .servers
            .iter()
            .zip(troubles)
            .map(|(server, trouble)| {
                let silence =
                    || Failure { text: format!("no answer from the name server {server} in time"), is_late: true };
                trouble.unwrap_or_else(silence)
            })
            .collect();
        if troubles.is_empty() {
            return Failure { text: "there is no name server to ask".to_owned(), is_late: false };
        }
        Failure {
            text: troubles.iter().map(|trouble| trouble.text.as_str()).collect::<Vec<_>>().join("; "),
            is_late: troubles.iter().any(|trouble| trouble.is_late),
        }
    }
}

/// The result of the task that ends first; `None` when none does until then.
pub(super) async fn first_done<T: 'static>(running: &mut JoinSet<T>, until: Deadline) -> Option<T> {
    loop {
        match timeout(until.remaining().unwrap_or_default(), running.join_next()).await {
            Ok(Some(Ok(result))) => return Some(result),
            // It panicked: no answer will come of it, and that is all that has happened.
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// How long `record` may be used. A time with the highest bit set is none (RFC 2181, section 8).
pub(super) fn lifetime(record: &Record) -> Duration {
    Duration::from_secs(i32::try_from(record.ttl).map_or(0, |_| u64::from(record.ttl)))
}

fn belongs(record: &Record, name: &Name, kind: RecordType) -> bool {
    record.name == *name && record.record_type() == kind && record.dns_class == DNSClass::IN
}

/// Where the aliases of a name have led so far.
struct Trail {
    end: Name,
    passed: Vec<Name>,
    ttl: Duration,
}

impl Trail {
    /// Follows the aliases in `answers`. Tells whether there was one.
    fn follow(&mut self, answers: &[Record]) -> Result<bool, Lack> {
        let mut has_moved = false;
        while let Some(record) = answers.iter().find(|record| belongs(record, &self.end, RecordType::CNAME)) {
            let RData::CNAME(target) = &record.data else { break };
            self.passed.push(std::mem::replace(&mut self.end, target.0.clone()));
            self.ttl = self.ttl.min(lifetime(record));
            if self.passed.contains(&self.end) || self.passed.len() > MAX_ALIASES {
                return Err(Lack::Circle);
            }
            has_moved = true;
        }
        Ok(has_moved)
    }
}

/// How many aliases are followed.
const MAX_ALIASES: usize = 8;

/// Asks one server. Whatever is not an answer to the question is a failure.
async fn exchange(
    server: SocketAddr,
    question: Query,
    has_edns: bool,
    sockets: Sockets,
    end: Deadline,
) -> Result<Message, Failure> {
    let wrong = |what: String| Failure { text: format!("the name server {server} {what}"), is_late: false };
    let unusable = |error: NetError| match error {
        NetError::Io(e) => wrong(format!("can't be asked: {e}")),
        NetError::Timeout => {
            Failure { text: format!("no answer from the name server {server} in time"), is_late: true }
        }
        error => wrong(format!("sent an answer that can't be read: {}", shown(&error.to_string()))),
    };

    let mut answer = over_udp(server, &question, has_edns, &sockets, end).await.map_err(unusable)?;
    if has_edns && matches!(answer.metadata.response_code, ResponseCode::FormErr | ResponseCode::NotImp) {
        // It may not know EDNS (RFC 6891, section 7).
        answer = over_udp(server, &question, false, &sockets, end).await.map_err(unusable)?;
    }
    if answer.metadata.truncation {
        // A firewall that swallows TCP should be told from a server that is silent: so a little before the end.
        let limit = end.remaining().unwrap_or_default() * 9 / 10;
        let failed = |reason: String, is_late| Failure {
            text: format!("the answer is truncated and TCP failed: {reason} (name server {server})"),
            is_late,
        };
        answer = match timeout(limit, over_tcp(server, &question, &sockets, end)).await {
            Err(_) | Ok(Err(NetError::Timeout)) => return Err(failed("no answer in time".to_owned(), true)),
            Ok(Err(NetError::Io(e))) => return Err(failed(e.to_string(), false)),
            Ok(Err(error)) => return Err(failed(shown(&error.to_string()), false)),
            Ok(Ok(answer)) if answer.metadata.truncation => {
                return Err(failed("truncated there too".to_owned(), false));
            }
            Ok(Ok(answer)) => answer,
        };
    }
    if answer.queries != [question] {
        return Err(wrong("answered another question".to_owned()));
    }
    match answer.metadata.response_code {
        ResponseCode::NoError if is_referral(&answer) => {
            Err(wrong("is not responsible for it and asks no others".to_owned()))
        }
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
        ResponseCode::ServFail => Err(wrong("failed (SERVFAIL)".to_owned())),
        ResponseCode::Refused => Err(wrong("refuses to answer (REFUSED)".to_owned())),
        ResponseCode::FormErr => Err(wrong("does not understand the question (FORMERR)".to_owned())),
        code => Err(wrong(format!("answered with error {}: {code}", u16::from(code)))),
    }
}

/// "Ask somebody else": an answer without records of a server that neither knows nor asks.
fn is_referral(answer: &Message) -> bool {
    answer.answers.is_empty() && !answer.metadata.authoritative && !answer.metadata.recursion_available
}

async fn over_udp(
    server: SocketAddr,
    question: &Query,
    has_edns: bool,
    sockets: &Sockets,
    end: Deadline,
) -> Result<Message, NetError> {
    let stream = UdpClientStream::builder(server, sockets.clone())
        .with_timeout(end.remaining())
        .with_max_retries(1)
        .with_os_port_selection(true)
        .exchange();
    Ok(stream.send(request(question, has_edns)).first_answer().await?.into_message())
}

async fn over_tcp(server: SocketAddr, question: &Query, sockets: &Sockets, end: Deadline) -> Result<Message, NetError> {
    let limit = end.remaining().unwrap_or_default();
    let stream = TcpClientStream::exchange(server, None, limit, None, sockets.clone()).await?;
    Ok(stream.send(request(question, true)).first_answer().await?.into_message())
}

fn request(question: &Query, has_edns: bool) -> DnsRequest {
    let mut options = DnsRequestOptions::default();
    options.use_edns = has_edns;
    let mut request = DnsRequest::from_query(question.clone(), options);
    // The generator of the library goes on with the same numbers in a forked child.
    request.metadata.id = random::unguessable();
    request
}
