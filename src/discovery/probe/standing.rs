//! What a server says of itself: the questions, and how the answer is read.

use std::time::Duration;

use crate::position::parse_lsn;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it may be used for.
    pub role: ServerRole,
    /// A primary's own; of a standby the highest that it is known to follow. To a role without `pg_read_all_stats`
    /// a standby tells the one of its last restart point, minutes after a promotion elsewhere.
    pub timeline: Option<u32>,
    /// Made by initdb: tells clusters apart.
    pub system_identifier: Option<u64>,
    /// Bytes: what a primary has written, what a standby has replayed.
    pub lsn: Option<u64>,
    /// How long the TCP connection took to come about.
    pub took: Duration,
}

/// What a server may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    /// It is not in recovery, and a new transaction may write.
    Primary,
    /// It is not in recovery, and a new transaction of this role may not write (`default_transaction_read_only`).
    ReadOnlyPrimary,
    /// It is in recovery.
    Standby {
        /// Whether it receives WAL from another server now.
        is_streaming: bool,
    },
}

impl Standing {
    /// Reads a row that answers one of the [`QUESTIONS`].
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a fragment for a message.
    pub(super) fn read(columns: &[Option<&str>], took: Duration) -> Result<Self, &'static str> {
        let [recovery, read_only, timeline, system_identifier, lsn, receiver] = columns else {
            return Err("a row of another shape");
        };
        let role = match (recovery.and_then(flag), read_only.and_then(flag)) {
            (Some(true), _) => ServerRole::Standby { is_streaming: receiver.and_then(flag) == Some(true) },
            (Some(false), Some(false)) => ServerRole::Primary,
            (Some(false), Some(true)) => ServerRole::ReadOnlyPrimary,
            _ => return Err("no usable value of pg_is_in_recovery() or transaction_read_only"),
        };
        Ok(Self {
            role,
            timeline: timeline.and_then(|text| u32::from_str_radix(text, 16).ok()).filter(|number| *number > 0),
            // A bigint: negative from the year 2038 on.
            system_identifier: system_identifier.and_then(|text| text.parse().ok()).map(i64::cast_unsigned),
            lsn: lsn.and_then(parse_lsn),
            took,
        })
    }
}

/// Asked in this order, until one is answered: where a function was taken away from `PUBLIC`, or a service that
/// only looks like PostgreSQL does not have it, the role is still to be had. Each answers with the same columns: all
/// of them, all but the control data, only the role.
///
/// `pg_is_in_recovery()` is called once: no promotion in the middle can make the answer contradict itself, or call
/// what is an error in recovery. All of it is there from PostgreSQL 10 to 18. Source: its manual, "System
/// Administration Functions", "Control Data Functions" and "pg_stat_wal_receiver": of that an ordinary role sees only
/// that there is a receiver.
pub(super) const QUESTIONS: [&str; 3] = [
    "SELECT r, pg_catalog.current_setting('transaction_read_only'), \
     CASE WHEN r THEN pg_catalog.to_hex((SELECT GREATEST(\
     (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()), \
     (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()), \
     (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver)))) \
     ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END, \
     (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
     CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, \
     EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE coalesce(status, 'streaming') = 'streaming') \
     FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) AS s",
    "SELECT r, pg_catalog.current_setting('transaction_read_only'), \
     CASE WHEN r THEN pg_catalog.to_hex((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver)) \
     ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END, NULL, \
     CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, \
     EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE coalesce(status, 'streaming') = 'streaming') \
     FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) AS s",
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only'), NULL, NULL, NULL, NULL",
];

/// A boolean, or the setting of one.
fn flag(text: &str) -> Option<bool> {
    match text {
        "t" | "on" => Some(true),
        "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(columns: [Option<&str>; 6]) -> Result<Standing, &'static str> {
        Standing::read(&columns, Duration::from_millis(1))
    }

    #[test]
    fn a_primary_and_a_standby_are_told_apart() {
        let primary =
            read([Some("f"), Some("off"), Some("0000001A"), Some("7340000000000000001"), Some("1/2A"), Some("f")]);
        assert_eq!(
            primary,
            Ok(Standing {
                role: ServerRole::Primary,
                timeline: Some(26),
                system_identifier: Some(7_340_000_000_000_000_001),
                lsn: Some((1 << 32) + 42),
                took: Duration::from_millis(1),
            })
        );
        let role = |columns| read(columns).map(|standing| standing.role);
        let standby = [Some("t"), Some("on"), Some("2"), None, Some("0/0"), Some("t")];
        assert_eq!(role(standby), Ok(ServerRole::Standby { is_streaming: true }));
        assert_eq!(read(standby).map(|standing| standing.timeline), Ok(Some(2)));
        let silent = [Some("t"), Some("on"), None, None, None, None];
        assert_eq!(role(silent), Ok(ServerRole::Standby { is_streaming: false }));
        assert_eq!(role([Some("f"), Some("on"), None, None, None, None]), Ok(ServerRole::ReadOnlyPrimary));
    }

    #[test]
    fn what_is_no_role_is_no_answer_and_the_rest_may_be_missing() {
        for recovery in [None, Some(""), Some("true"), Some("f\0")] {
            assert!(read([recovery, Some("off"), None, None, None, None]).is_err());
        }
        assert!(read([Some("f"), None, None, None, None, None]).is_err());
        assert!(Standing::read(&[Some("f"), Some("off")], Duration::ZERO).is_err());
        let odd = read([Some("f"), Some("off"), Some("0"), Some("x"), Some("-1"), None]).unwrap();
        assert_eq!((odd.timeline, odd.system_identifier, odd.lsn), (None, None, None));
        let late = read([Some("f"), Some("off"), None, Some("-1"), None, None]).unwrap();
        assert_eq!(late.system_identifier, Some(u64::MAX));
    }
}
