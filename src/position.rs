//! Positions in the WAL, and the tokens that applications keep of them. Pure.

use std::fmt;

use crate::error::Error;

/// A place in the WAL of a cluster: the timeline, and a log sequence number (PostgreSQL manual, 30.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The timeline it lies on.
    pub timeline: u32,
    /// Bytes since the beginning of the WAL.
    pub lsn: u64,
}

impl Position {
    /// Reads a token written by `to_string()`: `h1-3-0/16B3748`.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`](crate::error::Kind::Config): it is none.
    pub fn parse(token: &str) -> Result<Self, Error> {
        let read = || {
            let (timeline, lsn) = token.strip_prefix("h1-")?.split_once('-')?;
            let is_number = !timeline.is_empty() && timeline.bytes().all(|b| b.is_ascii_digit());
            let timeline = timeline.parse().ok().filter(|timeline| is_number && *timeline > 0)?;
            Some(Self { timeline, lsn: parse_lsn(lsn)? })
        };
        read().ok_or_else(|| Error::position_token(token))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h1-{}-{}", self.timeline, Lsn(self.lsn))
    }
}

/// A log sequence number as PostgreSQL writes it: `0/16B3748`.
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Reads `0/16B3748`.
pub fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let half = |digits: &str| {
        let well_formed = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if well_formed { u64::from_str_radix(digits, 16).ok() } else { None }
    };
    Some(half(high)? << 32 | half(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for position in [
            Position { timeline: 1, lsn: 0 },
            Position { timeline: 3, lsn: 0x016B_3748 },
            Position { timeline: u32::MAX, lsn: u64::MAX },
        ] {
            assert_eq!(Position::parse(&position.to_string()), Ok(position));
        }
        assert_eq!(Position { timeline: 3, lsn: 0x1_016B_3748 }.to_string(), "h1-3-1/16B3748");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in [
            "",
            "h1",
            "h1-",
            "h1-1",
            "h1-1-",
            "h1-0-0/0",
            "h1-+1-0/0",
            "h1-1-0",
            "h1-1-/",
            "h1-1-0/",
            "h1-1-0/g",
            "h1-1-0/+1",
            "h1-1-0/123456789",
            "h1-1-0/0 ",
            " h1-1-0/0",
            "h2-1-0/0",
            "h1-99999999999-0/0",
            "h1-1-0/0'",
        ] {
            assert!(Position::parse(token).is_err(), "{token:?} was accepted");
        }
    }
}
