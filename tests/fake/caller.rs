//! Whoever asks for a writer: it takes steps as the extension does.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hadsn::cluster::{Call, Cluster, Step, Wish};
use hadsn::config::Config;
use hadsn::discovery::probe::Login;
use hadsn::discovery::{Found, Memory, discover};
use hadsn::error::Error;
use hadsn::sys::clock::Deadline;

/// A cluster whose callers wait 300 ms for a leader.
pub fn configured(sources: &str) -> Cluster {
    Cluster::new(Config::parse(sources).unwrap(), Duration::from_millis(300))
}

/// The host of the writer.
pub fn writer(cluster: &Cluster) -> Result<String, Error> {
    settle(|call| cluster.writer(call)).map(|hosts| hosts.join(","))
}

/// The hosts that may be read from.
pub fn readers(cluster: &Cluster) -> Result<Vec<String>, Error> {
    settle(|call| cluster.reader(Wish::default(), call))
}

/// Waits for what has to come to pass.
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to pass");
        thread::sleep(Duration::from_millis(1));
    }
}

fn settle(step: impl Fn(&Call) -> Step) -> Result<Vec<String>, Error> {
    let call = Call::now(None);
    loop {
        match step(&call) {
            Step::Ready(answer) => return Ok(answer.routes.iter().map(|route| route.host.to_string()).collect()),
            Step::Failed(error) => return Err(error),
            Step::Wait(span) => thread::sleep(span),
        }
    }
}

/// Looks again and again, and remembers, without anything that spares the network.
pub struct Watcher {
    config: Arc<Config>,
    pub memory: Memory,
    pub login: Option<Login>,
}

impl Watcher {
    pub fn new(sources: &str) -> Self {
        let config = Config::parse(sources).unwrap();
        Self { login: Login::of(&config), config: Arc::new(config), memory: Memory::default() }
    }

    /// One look, within `timeout`.
    pub fn look(&mut self) -> Result<Found, Error> {
        let deadline = Deadline::after(self.config.timing.timeout);
        let look = discover(&self.config, &self.memory, self.login.as_ref(), deadline);
        self.memory = look.memory;
        look.result
    }

    /// The name of the leader, after one look; or why there is none.
    pub fn writer(&mut self) -> Result<String, String> {
        self.look().map_err(|e| e.to_string())?.leader.map(|leader| leader.name)
    }
}

/// Asserts that there is no writer, and that the message says so in these words.
#[track_caller]
pub fn assert_nobody(writer: Result<String, String>, words: &[&str]) {
    match writer {
        Ok(name) => panic!("{name} is the writer"),
        Err(text) => words.iter().for_each(|word| assert!(text.contains(word), "no {word:?} in: {text}")),
    }
}
