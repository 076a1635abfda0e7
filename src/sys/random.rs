//! Random numbers that a forked child does not share with its parent. Not for secrets.

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

fn reseed_after_fork() {
    thread_local!(static GENERATION: Cell<usize> = const { Cell::new(0) });
    let generation = fork::generation();
    if GENERATION.replace(generation) != generation {
        let now = u64::from(clock::boottime().subsec_nanos());
        fastrand::seed(now ^ (u64::from(std::process::id()) << 32));
    }
}
