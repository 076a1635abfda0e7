//! How often something may be done again: jittered pauses and a budget of look-ups. Pure: time and
//! chance come in as arguments.

use std::time::Duration;

/// A pause before the next look: half of `longest` for sure, the rest by `chance` (0 to 1), so that
/// many processes that noticed the same failure do not ask in step.
pub fn pause(longest: Duration, chance: f64) -> Duration {
    longest.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
}

/// The pause before attempt `tries` (0 is the first retry, which is made at once): full jitter, that is
/// anything between nothing and a limit that doubles from 20 ms to 250 ms.
pub fn full_jitter(tries: u32, chance: f64) -> Duration {
    let Some(doublings) = tries.checked_sub(1) else { return Duration::ZERO };
    let limit = FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
    limit.mul_f64(chance.clamp(0.0, 1.0))
}

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A token bucket: [`PER_SECOND`](Self::PER_SECOND) look-ups a second, with a burst of as many.
#[derive(Debug, Clone)]
pub struct Budget {
    tokens: f64,
    counted_at: Duration,
}

impl Budget {
    /// How many look-ups a second a process may make while something is wrong.
    pub const PER_SECOND: u32 = 4;

    /// A full bucket.
    pub fn new() -> Self {
        Self { tokens: f64::from(Self::PER_SECOND), counted_at: Duration::ZERO }
    }

    /// Takes one look-up at the time `now`.
    ///
    /// # Errors
    ///
    /// How long to wait until there is one.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let per_second = f64::from(Self::PER_SECOND);
        let earned = now.saturating_sub(self.counted_at).as_secs_f64() * per_second;
        self.tokens = (self.tokens + earned).min(per_second);
        self.counted_at = self.counted_at.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / per_second))
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lasts_for_four_a_second() {
        let mut budget = Budget::new();
        let start = Duration::from_secs(100);
        for _ in 0..4 {
            assert_eq!(budget.take(start), Ok(()));
        }
        let wait = budget.take(start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(250));
        assert!(budget.take(start + wait).is_ok());
        assert!(budget.take(start + wait).is_err());
        // Time that goes backwards earns nothing and breaks nothing.
        assert!(budget.take(Duration::ZERO).is_err());
        let later = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| budget.take(later).is_ok()).count(), 4);
    }

    #[test]
    fn the_first_retry_is_made_at_once_and_later_ones_within_a_quarter_second() {
        assert_eq!(full_jitter(0, 1.0), Duration::ZERO);
        assert_eq!(full_jitter(1, 1.0), Duration::from_millis(20));
        assert_eq!(full_jitter(2, 0.5), Duration::from_millis(20));
        assert_eq!(full_jitter(9, 1.0), LONGEST_PAUSE);
        assert_eq!(full_jitter(u32::MAX, 1.0), LONGEST_PAUSE);
        assert_eq!(full_jitter(5, 0.0), Duration::ZERO);
    }

    #[test]
    fn a_pause_is_at_least_half_as_long() {
        let longest = Duration::from_millis(200);
        assert_eq!(pause(longest, 0.0), Duration::from_millis(100));
        assert_eq!(pause(longest, 1.0), longest);
        assert_eq!(pause(longest, 7.0), longest);
    }
}
