//! The DSN `hadsn:…` that applications hand to PDO. Pure.

use crate::config::{check_cluster_name, parse_size};
use crate::error::{Error, shown};
use crate::position::Position;

/// What such a DSN asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PdoDsn {
    /// The cluster; the default one if it names none.
    pub cluster: Option<String>,
    /// Whether it wants a replica.
    pub is_reader: bool,
    /// Goes before the configured database.
    pub database: Option<String>,
    /// Bytes; goes before the configured `max_lag`.
    pub max_lag: Option<u64>,
    /// A replica must have replayed this far.
    pub after: Option<Position>,
}

impl PdoDsn {
    /// Reads what stands behind `hadsn:`: nothing, `writer`, `reader`, or `key=value` pairs separated by `;` with
    /// the keys `cluster`, `role`, `dbname`, `max_lag` and `after`.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`](crate::error::Kind::Config), naming the key and the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "" | "writer" => return Ok(Self::default()),
            "reader" => return Ok(Self { is_reader: true, ..Self::default() }),
            _ => {}
        }
        let mut dsn = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for pair in text.strip_suffix(';').unwrap_or(text).split(';') {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Error::dsn(format_args!("{}: expected writer, reader, or key=value pairs separated by ;", shown(pair)))
            })?;
            if seen.contains(&key) {
                return Err(Error::dsn(format_args!("{key} is given twice: keep one of them")));
            }
            seen.push(key);
            let bad = |reason: &str| Error::dsn(format_args!("{key} {}: {reason}", shown(value)));
            if value.contains('\0') {
                return Err(bad("contains a NUL byte: remove it"));
            }
            match key {
                "cluster" => {
                    check_cluster_name(value).map_err(|e| Error::dsn(e.message()))?;
                    dsn.cluster = Some(value.to_owned());
                }
                "role" => {
                    dsn.is_reader = match value {
                        "writer" => false,
                        "reader" => true,
                        _ => return Err(bad("expected writer or reader")),
                    }
                }
                "dbname" if value.is_empty() => return Err(bad("is empty: leave it out to have the configured one")),
                "dbname" => dsn.database = Some(value.to_owned()),
                "max_lag" => dsn.max_lag = Some(parse_size(value).map_err(bad)?),
                "after" => dsn.after = Some(Position::parse(value).map_err(|e| Error::dsn(e.message()))?),
                // What is unknown here may be a credential.
                _ => {
                    return Err(Error::dsn(format_args!(
                        "unknown key {}: the keys are cluster, role, dbname, max_lag and after; \
                         user and password are arguments of their own",
                        shown(key)
                    )));
                }
            }
        }
        Ok(dsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_forms_are_read() {
        assert_eq!(PdoDsn::parse(""), Ok(PdoDsn::default()));
        assert_eq!(PdoDsn::parse("writer"), Ok(PdoDsn::default()));
        assert!(PdoDsn::parse("reader").unwrap().is_reader);
        assert_eq!(
            PdoDsn::parse("cluster=orders;role=reader;dbname=bil ling;max_lag=64KiB;after=h1-2-0/1;"),
            Ok(PdoDsn {
                cluster: Some("orders".into()),
                is_reader: true,
                database: Some("bil ling".into()),
                max_lag: Some(65_536),
                after: Some(Position { timeline: 2, lsn: 1 }),
            })
        );
    }

    #[test]
    fn malformed_ones_are_refused_and_named() {
        for (text, named) in [
            ("Writer", "\"Writer\""),
            ("orders", "\"orders\""),
            (";", "\"\""),
            ("role=reader;;dbname=a", "\"\""),
            ("=", "unknown key \"\""),
            ("cluster=", "cluster \"\""),
            ("cluster=Orders", "cluster \"Orders\""),
            ("cluster= a", "cluster \" a\""),
            ("role=master", "role \"master\""),
            ("dbname=", "dbname \"\""),
            ("dbname=a\0", "dbname \"a\\u{0}\""),
            ("max_lag=many", "max_lag \"many\""),
            ("after=x", "position token \"x\""),
            ("role=reader;role=reader", "role is given twice"),
            ("host=a", "unknown key \"host\""),
            ("Role=reader", "unknown key \"Role\""),
            ("role=reader; dbname=a", "unknown key \" dbname\""),
        ] {
            let error = PdoDsn::parse(text).unwrap_err();
            assert!(error.message().starts_with("DSN hadsn: ") && error.message().contains(named), "{text:?}: {error}");
        }
        let error = PdoDsn::parse("user=app;password=hunter2").unwrap_err();
        assert!(!error.message().contains("hunter2"), "{error}");
    }
}
