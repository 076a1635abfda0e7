//! Waiting for a leader, in a way that lets PHP run its signal handlers.

use std::sync::OnceLock;
use std::time::Duration;

use ext_php_rs::zend::{BailoutGuard, ExecuteData};

use super::{exceptions, zend};
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

/// Takes `step` again and again until it is ready or has failed, in a call that began at `since`.
///
/// Signals are held back while hadsn works, and let in while it sleeps: so none is missed, and PHP's
/// handlers run when nothing of hadsn is alive on the stack.
pub(super) fn until_ready(call: &mut ExecuteData, since: Duration, step: impl Fn() -> Step) -> Result<Answer, Ended> {
    loop {
        let blocked = BlockedSignals::new();
        match step() {
            Step::Ready(answer) => return Ok(answer),
            Step::Failed(error) => {
                drop(blocked);
                // Once hadsn has thrown, PHP drops what is pending: its handlers would never run.
                let error = BailoutGuard::new(error);
                return Err(if zend::run_interrupts(call) { Ended::Thrown } else { Ended::Failed(error.into_inner()) });
            }
            Step::Wait(span) => sleep_blocked(call, since, span, blocked)?,
        }
    }
}

/// Throws `error` at the end of a call that may have taken long. First PHP's handlers run for the signals that have come meanwhile: once hadsn has
/// thrown, PHP drops what is pending.
pub(super) fn throw(call: &mut ExecuteData, error: Error) {
    let error = BailoutGuard::new(error);
    if !zend::run_interrupts(call) {
        exceptions::throw(error.into_inner());
    }
}

/// Sleeps for `span`, in a call that began at `since`.
pub(super) fn sleep(call: &mut ExecuteData, since: Duration, span: Duration) -> Result<(), Ended> {
    sleep_blocked(call, since, span, BlockedSignals::new())
}

fn sleep_blocked(
    call: &mut ExecuteData,
    since: Duration,
    span: Duration,
    blocked: BlockedSignals,
) -> Result<(), Ended> {
    let signalled = blocked.sleep(span);
    drop(blocked);
    if zend::run_interrupts(call) {
        return Err(Ended::Thrown);
    }
    // A worker of a web server gets signals of its own, which mean nothing to the script.
    if signalled && has_pcntl() {
        let waited = clock::boottime().saturating_sub(since);
        return Err(Ended::Failed(Error::wait_ended_by_signal(waited)));
    }
    Ok(())
}

fn has_pcntl() -> bool {
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| zend::is_loaded("pcntl"))
}
