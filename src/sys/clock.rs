//! Clocks: what counts as now, and until when something may take.

use std::time::{Duration, Instant};

/// Time since the machine was started, including the time it was suspended (`CLOCK_BOOTTIME`,
/// clock_gettime(2)): what was fresh before a suspend is old after it.
pub fn boottime() -> Duration {
    let time = read(libc::CLOCK_BOOTTIME);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Two coarse clocks, read together in a few nanoseconds. The first moves with running time; the
/// distance to the second tells that the machine was suspended, or that its clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coarse {
    monotonic: u64,
    realtime: u64,
}

impl Coarse {
    /// Reads both (`CLOCK_MONOTONIC_COARSE`, `CLOCK_REALTIME_COARSE`: a few milliseconds exact).
    #[inline]
    pub fn now() -> Self {
        let nanos = |clock| {
            let time = read(clock);
            time.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.cast_unsigned())
        };
        Self { monotonic: nanos(libc::CLOCK_MONOTONIC_COARSE), realtime: nanos(libc::CLOCK_REALTIME_COARSE) }
    }

    /// Whether less than `limit` nanoseconds have passed since `self`, and the clocks moved together.
    #[inline]
    pub fn is_within(&self, limit: u64) -> bool {
        let now = Self::now();
        let monotonic = now.monotonic.wrapping_sub(self.monotonic);
        let realtime = now.realtime.wrapping_sub(self.realtime);
        monotonic < limit && monotonic.wrapping_sub(realtime).wrapping_add(COARSE_DRIFT) < 2 * COARSE_DRIFT
    }
}

/// The moment at which a call has to be over. The one deadline type: all I/O takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `span` from now.
    pub fn after(span: Duration) -> Self {
        let now = Instant::now();
        // A span that no clock can hold is as good as a year.
        Self(now.checked_add(span).unwrap_or(now + Duration::from_secs(365 * 24 * 3600)))
    }

    /// What is left; `None` when it has passed.
    pub fn remaining(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// This deadline, or `span` from now, whichever comes first.
    pub fn or_after(self, span: Duration) -> Self {
        self.min(Self::after(span))
    }
}

#[inline]
fn read(clock: libc::clockid_t) -> libc::timespec {
    // The clocks used here exist since Linux 2.6.39; a kernel without one reads as the distant past,
    // which makes every cached answer old: slow, never wrong.
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write to for the duration of the call.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

/// How far the two coarse clocks may drift apart before it is looked into, in nanoseconds.
const COARSE_DRIFT: u64 = 50_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward() {
        let (boot, coarse) = (boottime(), Coarse::now());
        assert!(boottime() >= boot && boot > Duration::ZERO);
        assert!(coarse.is_within(60_000_000_000));
        assert!(!coarse.is_within(0));
    }

    #[test]
    fn clocks_that_part_are_not_trusted() {
        let now = Coarse::now();
        let (second, minute) = (1_000_000_000, 60_000_000_000);
        assert!(!Coarse { realtime: now.realtime - second, ..now }.is_within(minute));
        assert!(!Coarse { realtime: now.realtime + second, ..now }.is_within(minute));
        assert!(!Coarse { monotonic: now.monotonic + second, realtime: now.realtime + second }.is_within(minute));
        assert!(Coarse { realtime: now.realtime - 1_000_000, ..now }.is_within(minute));
    }

    #[test]
    fn deadlines_pass_and_the_earlier_wins() {
        assert_eq!(Deadline::after(Duration::ZERO).remaining(), None);
        let long = Deadline::after(Duration::MAX);
        assert!(long.remaining() > Some(Duration::from_secs(3600)));
        assert!(long.or_after(Duration::from_secs(1)).remaining() <= Some(Duration::from_secs(1)));
    }
}
