//! When a certificate is valid, and how a moment is written.

use rustls::pki_types::UnixTime;

use super::der::element;

/// From when until when a certificate is valid (RFC 5280 sections 4.1 and 4.1.2.5); `None` when it can't be read.
pub(super) fn validity(certificate: &[u8]) -> Option<(UnixTime, UnixTime)> {
    let mut rest = certificate;
    let mut certificate = expect(&mut rest, SEQUENCE)?;
    let mut fields = expect(&mut certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        element(&mut fields)?;
    }
    let _serial_number = element(&mut fields)?;
    let _signature = element(&mut fields)?;
    let _issuer = element(&mut fields)?;
    let mut validity = expect(&mut fields, SEQUENCE)?;
    let not_before = moment(element(&mut validity)?)?;
    let not_after = moment(element(&mut validity)?)?;
    Some((not_before, not_after))
}

/// `2031-02-28 12:00:00 UTC`.
pub(super) fn written(moment: UnixTime) -> String {
    let (days, second) = (moment.as_secs() / DAY, moment.as_secs() % DAY);
    let (year, month, day) = date(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// The content of the next element, which is to have this tag.
fn expect<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    element(rest).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// UTCTime `YYMMDDHHMMSSZ`, whose years are 1950 to 2049, or GeneralizedTime `YYYYMMDDHHMMSSZ`. What was before 1970
/// counts as 1970.
fn moment((tag, text): (u8, &[u8])) -> Option<UnixTime> {
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let number = |digits: &[u8]| digits.iter().fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0'));
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year), rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let mut pairs = rest.chunks_exact(2).map(number);
    let (month, day) = (pairs.next()?, pairs.next()?);
    let (hour, minute, second) = (pairs.next()?, pairs.next()?, pairs.next()?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days(year, month, day).map_or(0, |days| days * DAY + hour * 3600 + minute * 60 + second);
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` for a date before it.
///
/// A year is taken to begin in March, so that the day that is not always there is the last one.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let in_years = year * 365 + year / 4 - year / 100 + year / 400;
    (in_years + (153 * month + 2) / 5 + day - 1).checked_sub(DAYS_TO_1970)
}

/// Year, month and day that many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(DAYS_TO_1970);
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

const DAY: u64 = 86_400;

/// From 0000-03-01.
const DAYS_TO_1970: u64 = 719_468;
const DAYS_OF_400_YEARS: u64 = 146_097;

// Tags of DER.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The explicit tag `[0]`.
const VERSION: u8 = 0xA0;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Option<String> {
        moment((tag, text.as_bytes())).map(written)
    }

    #[test]
    fn moments_are_read_and_written() {
        for (tag, text, moment) in [
            (UTC_TIME, "700101000000Z", "1970-01-01 00:00:00 UTC"),
            (UTC_TIME, "000229235959Z", "2000-02-29 23:59:59 UTC"),
            (UTC_TIME, "240301120000Z", "2024-03-01 12:00:00 UTC"),
            (UTC_TIME, "491231010203Z", "2049-12-31 01:02:03 UTC"),
            (UTC_TIME, "500101000000Z", "1970-01-01 00:00:00 UTC"),
            (GENERALIZED_TIME, "21000228000000Z", "2100-02-28 00:00:00 UTC"),
            (GENERALIZED_TIME, "21000301000000Z", "2100-03-01 00:00:00 UTC"),
            (GENERALIZED_TIME, "99991231235959Z", "9999-12-31 23:59:59 UTC"),
            (GENERALIZED_TIME, "00000101000000Z", "1970-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(read(tag, text).as_deref(), Some(moment), "{text}");
        }
        for (tag, text) in [
            (UTC_TIME, ""),
            (UTC_TIME, "2403011200Z"),
            (UTC_TIME, "240301120000"),
            (UTC_TIME, "240301120000+0100"),
            (UTC_TIME, "241301120000Z"),
            (UTC_TIME, "20240301120000Z"),
            (GENERALIZED_TIME, "240301120000Z"),
            (GENERALIZED_TIME, "20240301120000.5Z"),
            (SEQUENCE, "240301120000Z"),
        ] {
            assert_eq!(read(tag, text), None, "{text}");
        }
    }

    #[test]
    fn every_day_comes_after_the_one_before() {
        for day in 0..200_000 {
            let (year, month, day_of_month) = date(day);
            assert_eq!(days(year, month, day_of_month), Some(day));
        }
        let _ = written(UnixTime::since_unix_epoch(std::time::Duration::MAX));
    }

    #[test]
    fn what_is_cut_off_or_no_certificate_is_not_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["a".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = certificate.der().as_ref();
        let (not_before, not_after) = validity(der).unwrap();
        assert_eq!(written(not_before), "1975-01-01 00:00:00 UTC");
        assert_eq!(written(not_after), "4096-01-01 00:00:00 UTC");
        for length in 0..der.len() {
            assert_eq!(validity(&der[..length]), None);
        }
        for position in 0..der.len() {
            let mut broken = der.to_vec();
            broken[position] = !broken[position];
            let _ = validity(&broken);
        }
    }
}
