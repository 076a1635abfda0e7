//! A DNS server for one small zone, which can be told to answer badly.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use hadsn::address::Endpoint;
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What goes back.
pub enum Reply {
    Message(Message),
    /// As they are, one datagram each.
    Bytes(Vec<Vec<u8>>),
    Silence,
}

/// Records, and how they are served.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    pub records: Vec<Record>,
    /// Whether the addresses of targets are sent along.
    pub has_additionals: bool,
    /// Whether only the first alias is told, as a server does that is not responsible for where it leads to.
    pub stops_at_aliases: bool,
}

type Hook = dyn Fn(&Zone, &Message, Transport) -> Reply + Send + Sync;

/// A server on a port of its own, for UDP and TCP, until dropped.
pub struct FakeDns {
    pub address: SocketAddr,
    questions: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    has_tcp: bool,
}

impl FakeDns {
    /// Serves lines such as `_patroni._tcp.pg.test. 60 SRV 10 5 8008 pg1.test.`.
    pub fn of(lines: &[&str]) -> Self {
        Self::of_zone(Zone::new(lines))
    }

    pub fn of_zone(zone: Zone) -> Self {
        Self::new(zone, |zone, question, transport| Reply::Message(zone.answer(question, transport)))
    }

    pub fn new(zone: Zone, hook: impl Fn(&Zone, &Message, Transport) -> Reply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = sockets();
        Self::start(zone, Arc::new(hook), udp, Some(tcp))
    }

    /// One that refuses TCP.
    pub fn without_tcp(zone: Zone) -> Self {
        let (udp, _) = sockets();
        let hook = |zone: &Zone, question: &Message, transport| Reply::Message(zone.answer(question, transport));
        Self::start(zone, Arc::new(hook), udp, None)
    }

    /// One that answers every question with `code`.
    pub fn failing(code: ResponseCode) -> Self {
        Self::new(Zone::default(), move |_, question, _| Reply::Message(refusal(question, code)))
    }

    pub fn silent() -> Self {
        Self::new(Zone::default(), |_, _, _| Reply::Silence)
    }

    /// What was asked so far: `UDP SRV _patroni._tcp.pg.test.`.
    pub fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap().clone()
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&self.address.to_string(), 53).unwrap()
    }

    fn start(zone: Zone, hook: Arc<Hook>, udp: UdpSocket, tcp: Option<TcpListener>) -> Self {
        let fake = Self {
            address: udp.local_addr().unwrap(),
            questions: Arc::default(),
            is_over: Arc::default(),
            has_tcp: tcp.is_some(),
        };
        let server = Server {
            zone: Arc::new(zone),
            hook,
            questions: Arc::clone(&fake.questions),
            is_over: Arc::clone(&fake.is_over),
        };
        if let Some(tcp) = tcp {
            let server = server.clone();
            thread::spawn(move || server.serve_tcp(&tcp));
        }
        thread::spawn(move || server.serve_udp(&udp));
        fake
    }
}

impl Drop for FakeDns {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes both threads, so that they end and the port is free.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(b"", self.address);
        }
        if self.has_tcp {
            let _ = TcpStream::connect(self.address);
        }
    }
}

impl Zone {
    pub fn new(lines: &[&str]) -> Self {
        Self { records: lines.iter().map(|line| record(line)).collect(), ..Self::default() }
    }

    /// What a well-behaved server says.
    pub fn answer(&self, question: &Message, transport: Transport) -> Message {
        let query = question.queries.first().unwrap();
        let mut answer = reply_to(question);
        let mut name = query.name.clone();
        loop {
            let records = self.records_of(&name, query.query_type);
            let alias = self.records_of(&name, RecordType::CNAME);
            answer.answers.extend(records.iter().chain(&alias).cloned());
            let Some(RData::CNAME(target)) = alias.first().map(|record| record.data.clone()) else { break };
            if self.stops_at_aliases || answer.answers.len() > 16 {
                break;
            }
            name = target.0;
        }
        if answer.answers.is_empty() && !self.records.iter().any(|record| record.name == query.name) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        if self.has_additionals {
            for record in answer.answers.clone() {
                if let RData::SRV(srv) = record.data {
                    answer.additionals.extend(self.records_of(&srv.target, RecordType::A));
                    answer.additionals.extend(self.records_of(&srv.target, RecordType::AAAA));
                }
            }
        }
        let room = question.edns.as_ref().map_or(512, |edns| usize::from(edns.max_payload()));
        if transport == Transport::Udp && answer.to_vec().unwrap().len() > room { truncated(question) } else { answer }
    }

    fn records_of(&self, name: &Name, kind: RecordType) -> Vec<Record> {
        self.records.iter().filter(|record| record.name == *name && record.record_type() == kind).cloned().collect()
    }
}

/// An empty answer.
pub fn reply_to(question: &Message) -> Message {
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.recursion_available = true;
    answer.queries = question.queries.clone();
    answer
}

pub fn refusal(question: &Message, code: ResponseCode) -> Message {
    let mut answer = reply_to(question);
    answer.metadata.response_code = code;
    answer
}

/// "Ask over TCP".
pub fn truncated(question: &Message) -> Message {
    let mut answer = reply_to(question);
    answer.metadata.truncation = true;
    answer
}

/// Where nobody answers, and the kernel says so at once. The port stays taken until this is dropped: the socket
/// takes only what it sends itself.
pub fn refusing() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    socket
}

/// The same port for both.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn record(line: &str) -> Record {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let data = match words[2..] {
        ["SRV", priority, weight, port, target] => RData::SRV(SRV::new(
            priority.parse().unwrap(),
            weight.parse().unwrap(),
            port.parse().unwrap(),
            name(target),
        )),
        ["CNAME", target] => RData::CNAME(CNAME(name(target))),
        ["A" | "AAAA", address] => RData::from(address.parse::<IpAddr>().unwrap()),
        _ => panic!("not a record that this server knows: {line}"),
    };
    Record::from_rdata(name(words[0]), words[1].parse().unwrap(), data)
}

#[derive(Clone)]
struct Server {
    zone: Arc<Zone>,
    hook: Arc<Hook>,
    questions: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            for bytes in self.reply(&buffer[..length], Transport::Udp) {
                let _ = socket.send_to(&bytes, from);
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let server = self.clone();
            // The client may hang up: that is its right.
            thread::spawn(move || server.talk(stream));
        }
    }

    fn talk(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question)?;
            for bytes in self.reply(&question, Transport::Tcp) {
                stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes())?;
                stream.write_all(&bytes)?;
            }
        }
    }

    fn reply(&self, question: &[u8], transport: Transport) -> Vec<Vec<u8>> {
        let Ok(question) = Message::from_vec(question) else { return Vec::new() };
        if let Some(Query { name, query_type, .. }) = question.queries.first() {
            let transport = if transport == Transport::Udp { "UDP" } else { "TCP" };
            self.questions.lock().unwrap().push(format!("{transport} {query_type} {name}"));
        }
        match (self.hook)(&self.zone, &question, transport) {
            Reply::Message(message) => vec![message.to_vec().unwrap()],
            Reply::Bytes(datagrams) => datagrams,
            Reply::Silence => Vec::new(),
        }
    }
}
