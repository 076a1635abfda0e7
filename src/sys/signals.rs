//! Waiting that a signal ends.

use std::time::Duration;

/// Sleeps for `span`, or until a signal handler has run on this thread.
///
/// Returns whether a signal ended it: poll(2) is never restarted, with or without `SA_RESTART`
/// (signal(7)).
pub fn sleep_until_signal(span: Duration) -> bool {
    let millis = i32::try_from(span.as_millis().max(1)).unwrap_or(i32::MAX);
    // SAFETY: with no descriptors poll(2) reads nothing through the pointer.
    let result = unsafe { libc::poll(std::ptr::null_mut(), 0, millis) };
    result < 0
}
