//! Waiting for a leader, in a way that lets PHP run its signal handlers.

use std::sync::OnceLock;
use std::time::Duration;

use ext_php_rs::zend::ExecuteData;

use super::zend;
use crate::cluster::{Answer, Step};
use crate::error::Error;
use crate::sys::clock;
use crate::sys::signals::BlockedSignals;

/// How a wait ended without an answer.
pub(super) enum Ended {
    /// With an error that is to be thrown.
    Failed(Error),
    /// PHP code that ran meanwhile has thrown already.
    Thrown,
}

/// Takes `step` again and again until it is ready or has failed. It gets the time of the first.
///
/// Signals are held back while hadsn works, and let in while it sleeps: so none is missed, and PHP's
/// handlers run when nothing of hadsn is alive on the stack.
pub(super) fn until_ready(call: &mut ExecuteData, step: impl Fn(Duration) -> Step) -> Result<Answer, Ended> {
    let since = clock::boottime();
    loop {
        let blocked = BlockedSignals::new();
        let signalled = match step(since) {
            Step::Ready(answer) => return Ok(answer),
            Step::Failed(error) => return Err(Ended::Failed(error)),
            Step::Wait(span) => blocked.sleep(span),
        };
        drop(blocked);
        if zend::run_interrupts(call) {
            return Err(Ended::Thrown);
        }
        // A worker of a web server gets signals of its own, which mean nothing to the script.
        if signalled && has_pcntl() {
            let waited = clock::boottime().saturating_sub(since);
            return Err(Ended::Failed(Error::wait_ended_by_signal(waited)));
        }
    }
}

fn has_pcntl() -> bool {
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| zend::is_loaded("pcntl"))
}
