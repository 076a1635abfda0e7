//! A site of fake Patronis: nodes of one cluster, each with a REST API of its own.

use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};

use super::server::{Server, listen, request, respond};

/// What is so at a site, or what one of its nodes says of it.
#[derive(Debug, Clone)]
pub struct Truth {
    pub scope: String,
    /// The system identifier of the cluster.
    pub system: u64,
    /// Who holds the lock.
    pub leader: Option<usize>,
    /// Whether it follows another cluster: its leader is a standby leader.
    pub is_standby_cluster: bool,
    pub is_paused: bool,
    pub nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    /// Where it announces its PostgreSQL.
    pub host: String,
    pub port: u16,
    /// Where it announces its API.
    pub api_url: String,
    pub timeline: u32,
    /// Whether its PostgreSQL has been promoted.
    pub is_primary: bool,
    /// Patroni's word for the state of its PostgreSQL, in `GET /patroni`.
    pub state: &'static str,
    /// Whether `GET /cluster` lists it.
    pub is_member: bool,
}

/// How a node's API treats whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Answering,
    /// Takes the connection and says nothing: the machine is frozen.
    Silent,
    /// Closes the connection.
    Dead,
}

/// The nodes with their APIs, until dropped.
pub struct Site {
    state: Arc<Mutex<State>>,
    servers: Vec<Server>,
}

struct State {
    truth: Truth,
    apis: Vec<Api>,
}

struct Api {
    manner: Manner,
    /// What it says instead of the truth.
    view: Option<Truth>,
    /// The paths it was asked for.
    asked: Vec<String>,
}

impl Site {
    /// `pg1`, `pg2`, … at 10.0.0.1, 10.0.0.2, …; `pg1` leads on timeline 1.
    pub fn new(count: usize) -> Self {
        Self::of("app", 7001, "pg", "10.0.0", count)
    }

    /// Nodes are called `name` and a number, and are at that number of `network`.
    pub fn of(scope: &str, system: u64, name: &str, network: &str, count: usize) -> Self {
        let truth = Truth {
            scope: scope.to_owned(),
            system,
            leader: Some(0),
            is_standby_cluster: false,
            is_paused: false,
            nodes: Vec::new(),
        };
        let state = Arc::new(Mutex::new(State { truth, apis: Vec::new() }));
        let mut site = Self { state: Arc::clone(&state), servers: Vec::new() };
        for number in 0..count {
            let state = Arc::clone(&state);
            let server = Server::new(move |stream| serve(stream, number, &state));
            let mut current = site.lock();
            current.truth.nodes.push(Node {
                name: format!("{name}{}", number + 1),
                host: format!("{network}.{}", number + 1),
                port: 5432,
                api_url: format!("http://{}/patroni", server.endpoint()),
                timeline: 1,
                is_primary: number == 0,
                state: "running",
                is_member: true,
            });
            current.apis.push(Api { manner: Manner::Answering, view: None, asked: Vec::new() });
            drop(current);
            site.servers.push(server);
        }
        site
    }

    /// A site that follows another one of the same system identifier.
    pub fn following(scope: &str, system: u64, name: &str, network: &str, count: usize) -> Self {
        let site = Self::of(scope, system, name, network, count);
        site.change(|truth| {
            truth.is_standby_cluster = true;
            truth.nodes[0].is_primary = false;
        });
        site
    }

    pub fn endpoint(&self, node: usize) -> String {
        self.servers[node].endpoint()
    }

    pub fn port(&self, node: usize) -> u16 {
        self.servers[node].port()
    }

    /// The endpoints of all nodes, separated by commas.
    pub fn endpoints(&self) -> String {
        self.servers.iter().map(Server::endpoint).collect::<Vec<_>>().join(",")
    }

    /// What is so now.
    pub fn truth(&self) -> Truth {
        self.lock().truth.clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut Truth)) {
        change(&mut self.lock().truth);
    }

    /// `node` takes over on the next timeline, and the others follow it.
    pub fn promote(&self, node: usize) {
        self.change(|truth| truth.promote(node));
    }

    pub fn behave(&self, node: usize, manner: Manner) {
        self.lock().apis[node].manner = manner;
    }

    pub fn behave_all(&self, manner: Manner) {
        self.lock().apis.iter_mut().for_each(|api| api.manner = manner);
    }

    /// From now on `node` says this of the cluster, and the truth of itself.
    pub fn claim(&self, node: usize, lie: impl FnOnce(&mut Truth)) {
        let mut state = self.lock();
        let mut view = state.truth.clone();
        lie(&mut view);
        state.apis[node].view = Some(view);
    }

    /// From now on `node` learns nothing new of the others.
    pub fn cut_off(&self, node: usize) {
        self.claim(node, |_| {});
    }

    /// It says the truth again.
    pub fn reconnect(&self, node: usize) {
        self.lock().apis[node].view = None;
    }

    /// How often `node` was asked for `path`.
    pub fn asked(&self, node: usize, path: &str) -> usize {
        self.lock().apis[node].asked.iter().filter(|asked| *asked == path).count()
    }

    /// How often any node was asked for anything.
    pub fn requests(&self) -> usize {
        self.lock().apis.iter().map(|api| api.asked.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Truth {
    pub fn promote(&mut self, node: usize) {
        let timeline = self.nodes.iter().map(|node| node.timeline).max().unwrap() + 1;
        self.lead(node, timeline);
        self.is_standby_cluster = false;
    }

    /// `node` leads on `timeline`, and the others follow it.
    pub fn lead(&mut self, node: usize, timeline: u32) {
        self.leader = Some(node);
        for (number, one) in self.nodes.iter_mut().enumerate() {
            one.timeline = timeline;
            one.is_primary = number == node;
        }
    }

    fn role(&self, node: usize) -> &'static str {
        match (self.leader == Some(node), self.is_standby_cluster) {
            (true, true) => "standby_leader",
            (true, false) => "leader",
            (false, _) => "replica",
        }
    }

    /// The body of `GET /cluster`.
    fn cluster(&self) -> String {
        let member = |(number, node): (usize, &Node)| {
            let Node { name, host, port, api_url, timeline, .. } = node;
            let role = self.role(number);
            let (state, lag) = if role == "replica" { ("streaming", r#","lag":0"#) } else { ("running", "") };
            format!(
                r#"{{"name":"{name}","role":"{role}","state":"{state}","api_url":"{api_url}","host":"{host}","port":{port},"timeline":{timeline}{lag}}}"#
            )
        };
        let members = self.nodes.iter().enumerate().filter(|(_, node)| node.is_member);
        let members: Vec<String> = members.map(member).collect();
        let pause = if self.is_paused { r#","pause":true"# } else { "" };
        format!(r#"{{"members":[{}],"scope":"{}"{pause}}}"#, members.join(","), self.scope)
    }

    /// The body of `GET /patroni` of a node.
    fn own(&self, number: usize) -> String {
        let Node { name, timeline, is_primary, state, .. } = &self.nodes[number];
        let role = if *is_primary { "primary" } else { "replica" };
        format!(
            r#"{{"role":"{role}","state":"{state}","timeline":{timeline},"database_system_identifier":"{}","patroni":{{"version":"4.1.5","scope":"{}","name":"{name}"}}}}"#,
            self.system, self.scope
        )
    }
}

fn serve(mut stream: TcpStream, number: usize, state: &Mutex<State>) {
    let Some(path) = request(&mut stream) else { return };
    let (manner, body) = {
        let mut state = state.lock().unwrap();
        let State { truth, apis } = &mut *state;
        let api = &mut apis[number];
        let body = match path.as_str() {
            "/cluster" => api.view.as_ref().unwrap_or(truth).cluster(),
            _ => truth.own(number),
        };
        api.asked.push(path);
        (api.manner, body)
    };
    match manner {
        Manner::Answering => respond(&mut stream, &body),
        Manner::Silent => listen(&mut stream),
        Manner::Dead => {}
    }
}
