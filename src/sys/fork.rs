//! Noticing a fork(2).

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many forks lie between the start of the program and this process, counted from the first call
/// on. What a child must not share with its parent is tied to this number.
pub fn generation() -> usize {
    REGISTERED.call_once(|| {
        // SAFETY: the handler only adds to an atomic, which is allowed in the child of a fork
        // (signal-safety(7)), and its code stays mapped: the library is linked with `nodelete`. Without
        // memory for the registration a child looks like its parent; nothing worse.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

static REGISTERED: Once = Once::new();
static GENERATION: AtomicUsize = AtomicUsize::new(0);
