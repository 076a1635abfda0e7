//! Random numbers that a forked child does not share with its parent. Not for secrets, but for [`unguessable`].

use std::cell::Cell;

use super::{clock, fork};

/// Any number.
pub fn number() -> usize {
    reseed_after_fork();
    fastrand::usize(..)
}

/// Between 0 and 1.
pub fn chance() -> f64 {
    reseed_after_fork();
    fastrand::f64()
}

/// A number that nobody else can guess, from the kernel (getrandom(2)); while that has none to give, any number.
pub fn unguessable() -> u16 {
    let mut bytes = [0; 2];
    // SAFETY: `bytes` may be written to for its whole length, and lives for the duration of the call.
    let written = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if usize::try_from(written) == Ok(bytes.len()) {
        return u16::from_ne_bytes(bytes);
    }
    reseed_after_fork();
    fastrand::u16(..)
}

fn reseed_after_fork() {
    thread_local!(static GENERATION: Cell<usize> = const { Cell::new(0) });
    let generation = fork::generation();
    if GENERATION.replace(generation) != generation {
        let now = u64::from(clock::boottime().subsec_nanos());
        fastrand::seed(now ^ (u64::from(std::process::id()) << 32));
    }
}
