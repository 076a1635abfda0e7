//! Patroni's REST API: `GET /cluster` → [`Topology`], `GET /patroni` → [`Own`].
//!
//! Source: Patroni documentation, "REST API"; observed with 4.1.

use serde_json::{Map, Value};

use crate::address::{Endpoint, Host};
use crate::error::shown;
use crate::position::parse_lsn;
use crate::topology::{Member, Rejected, Role, Tag, Topology};

/// Reads the answer to `GET /cluster` with its status.
pub(super) fn parse_answer(status: u16, body: &[u8]) -> Result<Topology, String> {
    match status {
        200 => parse(body),
        _ => Err(format!("answered {status} to GET /cluster")),
    }
}

/// Reads the answer to `GET /cluster`. What is missing or of the wrong type in one member does not
/// spoil the others.
///
/// # Errors
///
/// What is wrong with the answer as a whole, as a fragment for a message.
pub fn parse(body: &[u8]) -> Result<Topology, String> {
    if body.is_empty() {
        return Err("the answer is empty".into());
    }
    let answer: Value = serde_json::from_slice(body).map_err(|e| format!("the answer is not usable JSON: {e}"))?;
    let members = answer
        .get("members")
        .and_then(Value::as_array)
        .ok_or("the answer has no list of members: is this Patroni's REST API?")?;
    let mut topology = Topology {
        scope: answer.get("scope").and_then(Value::as_str).map(str::to_owned),
        is_paused: answer.get("pause").and_then(Value::as_bool).unwrap_or(false),
        ..Topology::default()
    };
    for member in members {
        match parse_member(member) {
            Ok(member) => topology.members.push(member),
            Err(rejected) => topology.rejected.push(rejected),
        }
    }
    Ok(topology)
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    /// Its name; older versions of Patroni don't tell it.
    pub(super) name: Option<String>,
    /// The scope of its cluster.
    pub(super) scope: Option<String>,
    /// Whether it runs as a primary.
    pub(super) is_primary: bool,
    /// Its role and state, for a message.
    pub(super) what: String,
    pub(super) timeline: Option<u32>,
    pub(super) system: Option<u64>,
}

/// Reads the answer to `GET /patroni`, which is 503 when PostgreSQL does not run.
pub(super) fn parse_own(status: u16, body: &[u8]) -> Result<Own, String> {
    if !matches!(status, 200 | 503) {
        return Err(format!("answered {status} to GET /patroni"));
    }
    let answer: Value = serde_json::from_slice(body).map_err(|e| format!("the answer is not usable JSON: {e}"))?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    let (Some(role), Some(state)) = (text("role"), text("state")) else {
        return Err("the answer has no role and state: is this Patroni's REST API?".to_owned());
    };
    let system = answer.get("database_system_identifier");
    let of_patroni = |key: &str| answer.get("patroni")?.get(key)?.as_str().map(str::to_owned);
    Ok(Own {
        name: of_patroni("name"),
        scope: of_patroni("scope"),
        // "master" before Patroni 4.0.
        is_primary: matches!(role, "primary" | "master") && state == "running",
        what: format!("a {} in state {}", shown(role), shown(state)),
        timeline: answer.get("timeline").and_then(Value::as_u64).and_then(|timeline| u32::try_from(timeline).ok()),
        // A number of 64 bits, written as a text.
        system: system.and_then(|id| id.as_u64().or_else(|| id.as_str()?.parse().ok())),
    })
}

/// The host and port of an `api_url`, such as `http://10.0.0.1:8008/patroni`.
pub(super) fn api_endpoint(url: &str) -> Option<Endpoint> {
    let (default_port, rest) = match url.strip_prefix("https://") {
        Some(rest) => (443, rest),
        None => (80, url.strip_prefix("http://")?),
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    Endpoint::parse(authority, default_port).ok()
}

fn parse_member(member: &Value) -> Result<Member, Rejected> {
    let text = |key: &str| member.get(key).and_then(Value::as_str);
    let name = text("name").unwrap_or_default().to_owned();
    let role = Role::parse(text("role").unwrap_or_default());
    let timeline = member.get("timeline").and_then(Value::as_u64).and_then(|t| u32::try_from(t).ok());
    match address(member) {
        Err(reason) => Err(Rejected { name, role, timeline, reason }),
        Ok(endpoint) => Ok(Member {
            name,
            endpoint,
            role,
            state: text("state").unwrap_or_default().to_owned(),
            timeline,
            lag: lag(member),
            replayed: text("replay_lsn").and_then(parse_lsn),
            tags: member.get("tags").and_then(Value::as_object).map(parse_tags).unwrap_or_default(),
            api_url: text("api_url").map(str::to_owned),
        }),
    }
}

fn address(member: &Value) -> Result<Endpoint, String> {
    let host = match member.get("host") {
        None | Some(Value::Null) => return Err("it announces no host".into()),
        Some(Value::String(host)) => host,
        Some(_) => return Err("its host is not a text".into()),
    };
    let host = Host::parse(host).map_err(|e| format!("its host {}: {e}", shown(host)))?;
    let port = match member.get("port") {
        None | Some(Value::Null) => return Err("it announces no port".into()),
        Some(port) => port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
    };
    let port = port.ok_or("its port is not a number from 1 to 65535")?;
    Ok(Endpoint { host, port })
}

/// How far a member is behind: `lag` counts what it has received or replayed, whichever is more. What a
/// reader sees is what was replayed, which Patroni tells since 4.1. A lag that is not known is the text
/// "unknown".
fn lag(member: &Value) -> Option<u64> {
    let lag = member.get("lag")?.as_u64()?;
    match member.get("replay_lag") {
        None | Some(Value::Null) => Some(lag),
        Some(replay_lag) => Some(lag.max(replay_lag.as_u64()?)),
    }
}

fn parse_tags(tags: &Map<String, Value>) -> Vec<(String, Tag)> {
    let tag = |value: &Value| match value {
        Value::Null => Tag::Null,
        Value::Bool(value) => Tag::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Tag::Int(value),
            None => Tag::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Tag::Text(text.clone()),
        nested => Tag::Text(nested.to_string()),
    };
    tags.iter().map(|(name, value)| (name.clone(), tag(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str = r#"{"members":[
        {"name":"pg1","role":"leader","state":"running","api_url":"http://10.0.0.1:8008/patroni","host":"10.0.0.1","port":5432,"timeline":3},
        {"name":"pg2","role":"sync_standby","state":"streaming","api_url":"http://10.0.0.2:8008/patroni","host":"10.0.0.2","port":5432,
         "timeline":3,"lag":16,"receive_lag":0,"tags":{"noloadbalance":true,"failover_priority":2,"zone":"a","nested":{"x":[1]},"none":null,"f":1.5}},
        {"name":"pg3","role":"replica","state":"starting","host":"10.0.0.3","port":5432,"lag":"unknown"}],"scope":"app"}"#;

    #[test]
    fn a_healthy_answer_is_read_whole() {
        let topology = parse(HEALTHY.as_bytes()).unwrap();
        let [leader, sync, replica] = topology.members.as_slice() else { panic!("{topology:?}") };
        assert_eq!(topology.leader().unwrap(), leader);
        assert_eq!((leader.endpoint.to_string(), leader.timeline, leader.lag), ("10.0.0.1:5432".into(), Some(3), None));
        assert_eq!(leader.api_url.as_deref(), Some("http://10.0.0.1:8008/patroni"));
        assert_eq!((sync.role.as_str(), sync.lag), ("sync_standby", Some(16)));
        assert!(sync.is_noloadbalance());
        let tag = |name: &str| sync.tags.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
        assert_eq!(tag("failover_priority"), Some(Tag::Int(2)));
        assert_eq!(tag("nested"), Some(Tag::Text(r#"{"x":[1]}"#.into())));
        assert_eq!(tag("none"), Some(Tag::Null));
        assert_eq!(tag("f"), Some(Tag::Float(1.5)));
        assert_eq!((replica.lag, replica.timeline, replica.api_url.clone()), (None, None, None));
    }

    #[test]
    fn an_answer_that_is_none_is_refused_with_its_reason() {
        let deep = format!("{{\"members\":{}", "[".repeat(1000));
        for (body, reason) in [
            ("", "empty"),
            (&HEALTHY[..200], "not usable JSON"),
            ("<html><body>502</body></html>", "not usable JSON"),
            ("nonsense", "not usable JSON"),
            (deep.as_str(), "recursion limit"),
            ("[]", "no list of members"),
            ("null", "no list of members"),
            ("{}", "no list of members"),
            (r#"{"members":{"a":1}}"#, "no list of members"),
            (r#"{"members":"x"}"#, "no list of members"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{body:.40}: {error}");
        }
        assert!(parse(b"\xff\xfe").is_err());
    }

    #[test]
    fn one_bad_member_does_not_spoil_the_others() {
        let bad_members = [
            "1",
            "null",
            "[]",
            "{}",
            r#"{"name":"x","role":"leader","port":5432}"#,
            r#"{"name":"x","role":"leader","host":null,"port":5432}"#,
            r#"{"name":"x","role":"leader","host":5,"port":5432}"#,
            r#"{"name":"x","role":"leader","host":"a"}"#,
            r#"{"name":"x","role":"leader","host":"a","port":"5432"}"#,
            r#"{"name":"x","role":"leader","host":"a","port":0}"#,
            r#"{"name":"x","role":"leader","host":"a","port":65536}"#,
            r#"{"name":"x","role":"leader","host":"a","port":-1}"#,
            r#"{"name":"x","role":"leader","host":"","port":1}"#,
            r#"{"name":"x","role":"leader","host":"a;sslmode=disable","port":1}"#,
            r#"{"name":"x","role":"leader","host":"a sslmode=disable","port":1}"#,
            r#"{"name":"x","role":"leader","host":"a'b","port":1}"#,
            r#"{"name":"x","role":"leader","host":"a\\b","port":1}"#,
            r#"{"name":"x","role":"leader","host":"a\nb","port":1}"#,
            r#"{"name":"x","role":"leader","host":"a=b","port":1}"#,
            r#"{"name":"x","role":"leader","host":"a,b","port":1}"#,
            r#"{"name":"x","role":"leader","host":"/tmp","port":1}"#,
        ];
        for bad in bad_members {
            let body = format!(
                r#"{{"members":[{bad},{{"name":"ok","role":"replica","state":"streaming","host":"10.0.0.1","port":1}}]}}"#
            );
            let topology = parse(body.as_bytes()).unwrap();
            assert_eq!(topology.members.len(), 1, "{bad} was accepted");
            assert_eq!(topology.members[0].name, "ok");
            assert_eq!(topology.rejected.len(), 1);
        }
    }

    #[test]
    fn a_replica_that_has_received_more_than_it_replayed_is_behind() {
        for (fields, lag) in [
            (r#""lag":5"#, Some(5)),
            (r#""lag":5,"replay_lag":900"#, Some(900)),
            (r#""lag":5,"replay_lag":0"#, Some(5)),
            (r#""lag":0,"replay_lag":null"#, Some(0)),
            (r#""lag":0,"replay_lag":"unknown""#, None),
            (r#""lag":"unknown","replay_lag":0"#, None),
            (r#""lag":1.5"#, None),
        ] {
            let body = format!(r#"{{"members":[{{"name":"a","role":"replica","host":"a","port":1,{fields}}}]}}"#);
            assert_eq!(parse(body.as_bytes()).unwrap().members[0].lag, lag, "{fields}");
        }
    }

    #[test]
    fn wrong_types_of_what_is_optional_are_left_out() {
        let body = r#"{"members":[{"name":7,"role":[],"state":{},"host":"a","port":1,"timeline":"9","lag":-5,"tags":[1],"api_url":3}]}"#;
        let member = &parse(body.as_bytes()).unwrap().members[0];
        assert_eq!((member.name.as_str(), member.state.as_str(), member.role.as_str()), ("", "", ""));
        assert_eq!((member.timeline, member.lag, member.api_url.clone()), (None, None, None));
        assert!(member.tags.is_empty());
    }
}
