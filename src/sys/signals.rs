//! Signals held back, and let in while sleeping.

use std::mem::MaybeUninit;
use std::time::Duration;

/// All signals held back from this thread, until dropped; those that tell of a fault in the program
/// itself are not. A thread inherits the mask of its creator.
pub struct BlockedSignals {
    before: libc::sigset_t,
}

impl BlockedSignals {
    /// Holds them back from now on.
    #[allow(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset(3) initialises `all`; pthread_sigmask(3) reads it and fills `before`, which
        // was made valid first. None of them fails with these arguments.
        unsafe {
            libc::sigemptyset(before.as_mut_ptr());
            libc::sigfillset(all.as_mut_ptr());
            for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP] {
                libc::sigdelset(all.as_mut_ptr(), fault);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
            Self { before: before.assume_init() }
        }
    }

    /// Sleeps for `span`, or until a signal handler has run: one that was held back ends it at once.
    /// Returns whether it was a signal.
    pub fn sleep(&self, span: Duration) -> bool {
        let span = libc::timespec {
            tv_sec: libc::time_t::try_from(span.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: span.subsec_nanos().into(),
        };
        // SAFETY: with no descriptors ppoll(2) reads nothing through the null pointer; time and mask
        // are valid. It is never restarted, with or without SA_RESTART (signal(7)).
        let result = unsafe { libc::ppoll(std::ptr::null_mut(), 0, &raw const span, &raw const self.before) };
        result < 0
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `before` is the mask that pthread_sigmask(3) gave out.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    static HANDLED: AtomicBool = AtomicBool::new(false);

    extern "C" fn handle(_signal: libc::c_int) {
        HANDLED.store(true, Ordering::Relaxed);
    }

    #[test]
    fn a_signal_that_was_held_back_ends_the_sleep() {
        let blocked = BlockedSignals::new();
        assert!(!blocked.sleep(Duration::from_millis(1)));
        // SAFETY: installs a handler that only stores to an atomic, for a signal that nothing else in
        // this test binary uses, and sends it to this very thread.
        unsafe {
            libc::signal(libc::SIGUSR2, handle as *const () as libc::sighandler_t);
            libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2);
        }
        assert!(!HANDLED.load(Ordering::Relaxed));
        assert!(blocked.sleep(Duration::from_secs(60)));
        assert!(HANDLED.load(Ordering::Relaxed));
    }
}
