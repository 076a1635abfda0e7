//! Short-lived threads that no signal meant for PHP can land on.

use std::io;

use super::signals::BlockedSignals;

/// Starts a detached thread with a small stack and all signals held back: a handler of the host
/// process must run on one of its own threads.
///
/// # Errors
///
/// The system's, for example `EAGAIN` when the user may have no more threads.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let _blocked = BlockedSignals::new();
    std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE).spawn(work).map(drop)
}

/// Enough for one HTTP exchange or one look-up through the system's name services.
const STACK_SIZE: usize = 512 * 1024;
