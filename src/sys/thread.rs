//! Short-lived threads that no signal meant for PHP can land on.

use std::io;
use std::mem::MaybeUninit;

/// Starts a detached thread with a small stack and all signals blocked: a handler of the host
/// process must run on one of its own threads.
///
/// # Errors
///
/// The system's, for example `EAGAIN` when the user may have no more threads.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let _blocked = BlockedSignals::new();
    std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE).spawn(work).map(drop)
}

/// All signals blocked on this thread, until dropped. A thread inherits the mask of its creator.
struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset(3) initialises `all`; pthread_sigmask(3) reads it and initialises
        // `before`. Neither fails with these arguments.
        unsafe {
            libc::sigemptyset(before.as_mut_ptr());
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `self.0` is the mask that pthread_sigmask(3) gave out.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

/// Enough for one HTTP exchange or one look-up through the system's name services.
const STACK_SIZE: usize = 512 * 1024;
