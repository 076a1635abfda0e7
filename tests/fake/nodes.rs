//! The REST APIs of a Patroni cluster: each node tells the cluster, and what it is itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A cluster of nodes `NAME1`, `NAME2`, … whose databases are at `NETWORK.1`, `NETWORK.2`, …
pub struct Site {
    pub nodes: Vec<Node>,
    network: String,
    scope: String,
    system: u64,
}

/// One node's API, until dropped.
pub struct Node {
    pub name: String,
    port: u16,
    answers: Arc<Mutex<Answers>>,
    paths: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

#[derive(Clone, Default)]
struct Answers {
    cluster: String,
    own: String,
    is_silent: bool,
}

impl Site {
    /// Its first node leads on timeline 1.
    pub fn new(name: &str, network: &str, count: usize, system: u64) -> Self {
        let nodes = (1..=count).map(|number| Node::new(&format!("{name}{number}"))).collect();
        let site = Self { nodes, network: network.to_owned(), scope: name.to_owned(), system };
        site.is_led_by(0, 1);
        site
    }

    /// All nodes say that this one leads, and so does it.
    pub fn is_led_by(&self, leader: usize, timeline: u32) {
        for (number, node) in self.nodes.iter().enumerate() {
            node.tells_cluster(self.cluster(Some(leader), timeline));
            node.is("running", if number == leader { "primary" } else { "replica" }, timeline, self.system);
        }
    }

    /// The body of `GET /cluster`.
    pub fn cluster(&self, leader: Option<usize>, timeline: u32) -> String {
        self.cluster_of(leader, "leader", timeline)
    }

    /// It is a standby cluster.
    pub fn is_standby(&self, timeline: u32) {
        for (number, node) in self.nodes.iter().enumerate() {
            node.tells_cluster(self.cluster_of(Some(0), "standby_leader", timeline));
            node.is("running", if number == 0 { "standby_leader" } else { "replica" }, timeline, self.system);
        }
    }

    fn cluster_of(&self, leader: Option<usize>, role_of_leader: &str, timeline: u32) -> String {
        let member = |(number, node): (usize, &Node)| {
            let (role, state) =
                if leader == Some(number) { (role_of_leader, "running") } else { ("replica", "streaming") };
            format!(
                r#"{{"name":"{}","role":"{role}","state":"{state}","api_url":"http://{}/patroni","host":"{}","port":5432,"timeline":{timeline},"lag":0}}"#,
                node.name,
                node.endpoint(),
                self.database(number),
            )
        };
        let members: Vec<_> = self.nodes.iter().enumerate().map(member).collect();
        format!(r#"{{"members":[{}],"scope":"{}"}}"#, members.join(","), self.scope)
    }

    /// The host of a node's database.
    pub fn database(&self, number: usize) -> String {
        format!("{}.{}", self.network, number + 1)
    }

    /// Its endpoints, as they stand in a source.
    pub fn endpoints(&self) -> String {
        self.nodes.iter().map(Node::endpoint).collect::<Vec<_>>().join(",")
    }

    /// Nobody of it answers any more.
    pub fn falls_silent(&self, is_silent: bool) {
        self.nodes.iter().for_each(|node| node.falls_silent(is_silent));
    }
}

impl Node {
    fn new(name: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let node = Self {
            name: name.to_owned(),
            port: listener.local_addr().unwrap().port(),
            answers: Arc::default(),
            paths: Arc::default(),
            is_over: Arc::default(),
        };
        let (answers, paths, is_over) = (Arc::clone(&node.answers), Arc::clone(&node.paths), Arc::clone(&node.is_over));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (answers, paths) = (answers.lock().unwrap().clone(), Arc::clone(&paths));
                thread::spawn(move || serve(stream, &answers, &paths));
            }
        });
        node
    }

    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn tells_cluster(&self, body: String) {
        self.answers.lock().unwrap().cluster = body;
    }

    /// What it says of itself.
    pub fn is(&self, state: &str, role: &str, timeline: u32, system: u64) {
        self.answers.lock().unwrap().own = format!(
            r#"{{"state":"{state}","role":"{role}","timeline":{timeline},"database_system_identifier":"{system}","patroni":{{"name":"{}"}}}}"#,
            self.name
        );
    }

    /// It takes connections and says nothing.
    pub fn falls_silent(&self, is_silent: bool) {
        self.answers.lock().unwrap().is_silent = is_silent;
    }

    /// The paths that it was asked for.
    pub fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener, so that its thread ends and the port is free.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, answers: &Answers, paths: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&chunk[..n]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    paths.lock().unwrap().push(path.clone());
    if answers.is_silent {
        // Until the client hangs up.
        let _ = stream.read(&mut chunk);
        return;
    }
    let body = if path == "/cluster" { &answers.cluster } else { &answers.own };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    // The client may hang up: that is its right.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}
