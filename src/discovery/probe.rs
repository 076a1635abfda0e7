//! Asks PostgreSQL servers themselves what they are: all at once, on the calling thread, under one deadline.

mod channel;
mod encryption;
mod keywords;
mod passfile;
mod refusal;
mod session;
mod standing;
mod wire;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::config::{Config, Secret};
use crate::route::Route;
use crate::sys::clock::Deadline;
use crate::verdict::Fault;
use session::{Session, Stage};

pub use refusal::Refusal;
pub use standing::{ServerRole, Standing};

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password; without one it is looked for where libpq does: `PGPASSWORD`, `passfile`, `~/.pgpass`.
    pub password: Option<Secret>,
    /// The database; the server's default is the user's name.
    pub database: Option<String>,
}

impl Login {
    /// With the credentials of the source, if it has any.
    pub fn of(config: &Config) -> Option<Self> {
        Some(Self {
            user: config.credentials.user.clone()?,
            password: config.credentials.password.clone(),
            database: config.database.clone(),
        })
    }
}

/// Asks the servers behind `routes`, all at once. Ends when all have answered, `patience` after the first of them
/// that takes writes has, or at the deadline. There is one result for each route, in their order.
///
/// Starts no thread; the connections end with the call.
///
/// # Errors
///
/// For each route, why there is no answer.
pub fn ask_all(
    routes: &[Route],
    login: &Login,
    config: &Config,
    deadline: Deadline,
    patience: Duration,
) -> Vec<Result<Standing, Refusal>> {
    let refused = |refusal: Refusal| routes.iter().map(|_| Err(refusal.clone())).collect();
    let (since, Some(limit)) = (Instant::now(), deadline.remaining()) else { return refused(Refusal::late()) };
    let session = match Session::new(login, config) {
        Ok(session) => session,
        Err(refusal) => return refused(refusal),
    };
    // It lives as long as this call, on this thread: nothing of it meets a fork or a signal handler.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(e) => return refused(Refusal::no_runtime(&e)),
    };
    let stages: Vec<Cell<Stage>> = routes.iter().map(|_| Cell::default()).collect();
    let answers = runtime.block_on(async {
        let mut asked: Vec<Asked> = routes
            .iter()
            .zip(&stages)
            .map(|(route, stage)| Asked { future: Box::pin(session.ask(route, stage)), answer: None })
            .collect();
        let mut end = pin!(tokio::time::sleep(deadline.remaining().unwrap_or_default()));
        let mut has_primary = false;
        poll_fn(|cx| {
            let mut is_waiting = false;
            for one in &mut asked {
                is_waiting |= !one.is_answered(cx);
            }
            if !is_waiting {
                return Poll::Ready(());
            }
            if !has_primary && asked.iter().any(Asked::is_primary) {
                has_primary = true;
                let left = deadline.or_after(patience).remaining().unwrap_or_default();
                end.as_mut().reset(tokio::time::Instant::now() + left);
            }
            end.as_mut().poll(cx)
        })
        .await;
        asked.into_iter().map(|one| one.answer).collect::<Vec<_>>()
    });
    let waited = since.elapsed().min(limit);
    let answers = answers.into_iter().zip(&stages);
    answers.map(|(answer, stage)| answer.unwrap_or_else(|| Err(Refusal::silent(waited, stage.get())))).collect()
}

/// Asks one server.
///
/// Ends by `deadline`.
///
/// # Errors
///
/// Why there is no answer.
pub fn ask(route: &Route, login: &Login, config: &Config, deadline: Deadline) -> Result<Standing, Refusal> {
    let answers = ask_all(std::slice::from_ref(route), login, config, deadline, Duration::ZERO);
    answers.into_iter().next().unwrap_or_else(|| Err(Refusal::late()))
}

/// Why a connection to a server fails, told by its SQLSTATE and so in any language: one attempt of hadsn's own.
/// `None` when the attempt shows nothing: hadsn lacks the credentials, or can't do what the configuration asks of it.
///
/// Ends by `deadline`.
pub fn fault(login: &Login, route: &Route, config: &Config, deadline: Deadline) -> Option<Fault> {
    match ask(route, login, config, deadline) {
        // It works now: whatever it was has passed, or it was the role of the server.
        Ok(_) => Some(Fault::WrongRole),
        Err(refusal) => refusal.fault(),
    }
}

/// A server that is being asked.
struct Asked<'a> {
    future: Pin<Box<dyn Future<Output = Result<Standing, Refusal>> + 'a>>,
    answer: Option<Result<Standing, Refusal>>,
}

impl Asked<'_> {
    fn is_answered(&mut self, cx: &mut Context<'_>) -> bool {
        if self.answer.is_none()
            && let Poll::Ready(answer) = self.future.as_mut().poll(cx)
        {
            self.answer = Some(answer);
        }
        self.answer.is_some()
    }

    fn is_primary(&self) -> bool {
        matches!(&self.answer, Some(Ok(standing)) if standing.role == ServerRole::Primary)
    }
}
