//! Passwords from a file.
//!
//! Source: PostgreSQL manual, 34.16 "The Password File"; details from `passwordFromFile()` of libpq.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::config::Secret;

/// What stands in a password file.
pub(super) struct Passfile(String);

impl Passfile {
    /// Reads `path`. `None` if there is no such file, or libpq would ignore it too: it is no plain file, or others
    /// than its owner may use it.
    pub(super) fn read(path: &Path) -> Option<Self> {
        // What is no file could block for ever.
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
            return None;
        }
        let mut bytes = Vec::new();
        file.by_ref().take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
        // A line that is no UTF-8 fits nobody whose name is.
        Some(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The password of the first line that fits.
    pub(super) fn password(&self, host: &str, port: u16, database: &str, user: &str) -> Option<Secret> {
        let port = port.to_string();
        let fits = |line| [host, &port, database, user].into_iter().try_fold(line, |rest, value| behind(rest, value));
        let lines = self.0.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let rest = lines.filter(|line| !line.starts_with('#')).find_map(fits)?;
        Some(Secret::new(unescaped(rest))).filter(|password| {
            // An empty password is none, and one with a replacement character was not UTF-8.
            !password.reveal().is_empty() && !password.reveal().contains(char::REPLACEMENT_CHARACTER)
        })
    }
}

impl fmt::Debug for Passfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What stands behind the first field, if that is `*` or `value`.
fn behind<'a>(line: &'a str, value: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let mut rest = line.chars();
    for wanted in value.chars() {
        match rest.next()? {
            '\\' if rest.next()? == wanted => {}
            ':' | '\\' => return None,
            c if c == wanted => {}
            _ => return None,
        }
    }
    rest.as_str().strip_prefix(':')
}

/// A password, which ends with the line or at a colon of its own.
fn unescaped(text: &str) -> String {
    let mut password = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ':' => break,
            '\\' => password.push(rest.next().unwrap_or('\\')),
            c => password.push(c),
        }
    }
    password
}

/// Ten thousand lines.
const MAX_SIZE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn password(text: &str, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        Passfile(text.to_owned()).password(host, port, database, user).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_wins() {
        let text = "# db1:5432:app:app:commented\n\ndb1:5433:app:app:port\ndb1:5432:other:app:database\n\
                    db1:5432:app:app:right\r\ndb1:*:app:*:late\n*:*:*:*:any";
        assert_eq!(password(text, "db1", 5432, "app", "app").as_deref(), Some("right"));
        assert_eq!(password(text, "db1", 5433, "app", "app").as_deref(), Some("port"));
        assert_eq!(password(text, "db1", 1, "app", "else").as_deref(), Some("late"));
        assert_eq!(password(text, "db2", 1, "x", "y").as_deref(), Some("any"));
        assert_eq!(password("db1:5432:app:app:a", "db1", 5432, "app", "ap"), None);
        assert_eq!(password("db1:5432:app:ap:a", "db1", 5432, "app", "app"), None);
    }

    #[test]
    fn backslashes_escape_colons_and_themselves() {
        let text = r"fd00\:\:1:5432:a\\b:we\:ird:pass\:wo\\rd:ignored";
        assert_eq!(password(text, "fd00::1", 5432, r"a\b", "we:ird").as_deref(), Some(r"pass:wo\rd"));
        assert_eq!(password("*:*:*:*:end\\", "h", 1, "d", "u").as_deref(), Some("end\\"));
        assert_eq!(password(r"\*:1:d:u:p", "*", 1, "d", "u").as_deref(), Some("p"));
        assert_eq!(password(r"\*:1:d:u:p", "h", 1, "d", "u"), None);
        assert_eq!(password("a:b:1:d:u:p", "a:b", 1, "d", "u"), None);
    }

    #[test]
    fn short_and_empty_lines_fit_nobody() {
        for text in ["", "\n\n", "*", "*:*:*:*", "*:*:*:*:", "*:*:*:p", "h:1:d", "\\", "h:1:d:u\\"] {
            assert_eq!(password(text, "h", 1, "d", "u"), None, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_ignored() {
        let folder = std::env::temp_dir().join(format!("hadsn-passfile-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("pass");
        fs::write(&path, b"h:1:d:\xff:p\n*:*:*:*:secret\n").unwrap();
        for (mode, is_read) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = Passfile::read(&path).and_then(|file| file.password("h", 1, "d", "u"));
            assert_eq!(found.is_some(), is_read, "{mode:o}");
        }
        assert!(Passfile::read(&folder).is_none());
        assert!(Passfile::read(&folder.join("none")).is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(format!("{:?}", Passfile::read(&path)), "Some(***)");
        fs::remove_dir_all(&folder).unwrap();
    }
}
