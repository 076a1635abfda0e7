//! Durations (`250ms`, `5s`, `2m`) and sizes (`65536`, `64KiB`, `16MB`).

use std::time::Duration;

/// Reads a duration: a whole number and `ms`, `s` or `m`; a day at most.
///
/// # Errors
///
/// What is wrong with it, as a fragment for a message.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = split_unit(text);
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "" => return Err("a duration needs a unit: ms, s or m, as in 250ms, 5s or 2m"),
        _ => return Err("a duration is a whole number and ms, s or m, as in 250ms, 5s or 2m"),
    };
    let millis = whole(number)
        .ok_or("a duration is a whole number and ms, s or m, as in 250ms, 5s or 2m")?
        .checked_mul(millis_per_unit)
        .filter(|millis| *millis <= MAX_MILLIS)
        .ok_or("a duration is a day (1440m) at most")?;
    Ok(Duration::from_millis(millis))
}

/// Reads a size in bytes: a whole number, alone or with `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024)
/// or `kB`, `KB`, `MB`, `GB`, `TB` (powers of 1000).
///
/// # Errors
///
/// What is wrong with it, as a fragment for a message.
pub fn parse_size(text: &str) -> Result<u64, &'static str> {
    const EXPECTED: &str =
        "a size is a whole number of bytes, or one with a unit, as in 65536, 64KiB (1024) or 16MB (1000)";
    let (number, unit) = split_unit(text);
    let bytes_per_unit: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(EXPECTED),
    };
    whole(number)
        .ok_or(EXPECTED)?
        .checked_mul(bytes_per_unit)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or("the size is too large")
}

/// Splits `64KiB` into `64` and `KiB`.
fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

/// A number of decimal digits and nothing else.
fn whole(digits: &str) -> Option<u64> {
    digits.parse().ok()
}

const MAX_MILLIS: u64 = 24 * 60 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            "1S",
            "1h",
            "1us",
            "ms",
            " 1s",
            "1s ",
            "1s1",
            "99999999999999999999s",
            "18446744073709551615m",
            "1441m",
            "٣s",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("65536"), Ok(65_536));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("16MB"), Ok(16_000_000));
        assert_eq!(parse_size("1kB"), Ok(1_000));
        assert_eq!(parse_size("0"), Ok(0));
        for bad in [
            "",
            "KiB",
            "-1",
            "+1",
            "1.5MB",
            "1 MB",
            "1mb",
            "1kib",
            "1M",
            "99999999999999999999",
            "16777216TiB",
            "9223372036854775808",
        ] {
            assert!(parse_size(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
