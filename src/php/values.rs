//! The value classes `HaDsn\Topology` and `HaDsn\Member`, and the array of `HaDsn::status()`.

use std::sync::Arc;

use ext_php_rs::builders::{ClassBuilder, FunctionBuilder};
use ext_php_rs::error::Result;
use ext_php_rs::flags::{ClassFlags, MethodFlags};
use ext_php_rs::types::{ZendHashTable, Zval};

use super::methods;
use super::zend::{self, Class, Type, array, int, null, text};
use crate::cluster::{Snapshot, Status};
use crate::error::Error;
use crate::topology::{Member, Tag};

/// The class of a topology.
pub(super) const TOPOLOGY_NAME: &str = r"HaDsn\Topology";
const MEMBER_NAME: &str = r"HaDsn\Member";

static TOPOLOGY: Class = Class::new();
static MEMBER: Class = Class::new();

/// Registers both classes.
pub(super) fn register() -> Result<()> {
    value_class(MEMBER_NAME).registration(|entry, arguments| MEMBER.set(entry, arguments)).register()?;
    for (name, property) in [
        ("name", Type::String),
        ("host", Type::String),
        ("port", Type::Int),
        ("role", Type::String),
        ("state", Type::String),
        ("timeline", Type::NullableInt),
        ("lag", Type::NullableInt),
        ("tags", Type::Array),
        ("apiUrl", Type::NullableString),
    ] {
        zend::declare_readonly(&MEMBER, name, &property);
    }

    value_class(TOPOLOGY_NAME).registration(|entry, arguments| TOPOLOGY.set(entry, arguments)).register()?;
    for (name, property) in [
        ("cluster", Type::String),
        ("leader", Type::NullableClass(MEMBER_NAME)),
        ("members", Type::Array),
        ("timeline", Type::NullableInt),
        ("systemIdentifier", Type::NullableString),
        ("source", Type::String),
        ("age", Type::Float),
        ("epoch", Type::Int),
    ] {
        zend::declare_readonly(&TOPOLOGY, name, &property);
    }
    Ok(())
}

/// A topology, as it was seen under a name.
pub(super) struct Seen {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) epoch: u64,
    pub(super) name: String,
}

/// Makes a `HaDsn\Topology` in `place`.
pub(super) fn topology(place: &mut Zval, seen: &Seen) {
    let topology = seen.snapshot.topology();
    let leader = seen.snapshot.leader();
    let mut leader_object = null();
    let mut members = ZendHashTable::new();
    for one in &topology.members {
        let mut object = Zval::new();
        member(&mut object, one);
        if leader.is_some_and(|leader| leader.endpoint == one.endpoint) {
            leader_object = object.shallow_clone();
        }
        // Only a full table refuses, and a MiB of answer does not fill one.
        let _ = members.push(object);
    }
    if !zend::make_object(place, &TOPOLOGY) {
        return;
    }
    let set = |name, value| zend::set_property(place, &TOPOLOGY, name, value);
    set("cluster", text(&seen.name));
    set("leader", leader_object);
    set("members", array(members));
    set("timeline", leader.and_then(|leader| leader.timeline).map_or_else(null, |t| int(u64::from(t))));
    set("systemIdentifier", seen.snapshot.found.system.map_or_else(null, |id| text(&id.to_string())));
    set("source", text(&seen.snapshot.found.source));
    set("age", float(seen.snapshot.age().as_secs_f64()));
    set("epoch", int(seen.epoch));
}

/// Makes the array of `HaDsn::status()` in `place`.
pub(super) fn status(place: &mut Zval, clusters: &[(String, std::result::Result<Status, Error>)]) {
    let mut of_clusters = ZendHashTable::new();
    for (name, status) in clusters {
        let mut entry = ZendHashTable::new();
        match status {
            Ok(status) => fill(&mut entry, status),
            Err(error) => put(&mut entry, "error", text(error.message())),
        }
        put(&mut of_clusters, name, array(entry));
    }
    let mut all = ZendHashTable::new();
    put(&mut all, "version", text(env!("CARGO_PKG_VERSION")));
    put(&mut all, "clusters", array(of_clusters));
    *place = array(all);
}

fn fill(entry: &mut ZendHashTable, status: &Status) {
    let optional = |value: &Option<String>| value.as_deref().map_or_else(null, text);
    put(entry, "source", text(&status.source));
    put(entry, "answered_by", optional(&status.answered_by));
    put(entry, "leader", optional(&status.leader));
    put(entry, "leader_address", optional(&status.leader_address));
    put(entry, "age", status.age.map_or_else(null, |age| float(age.as_secs_f64())));
    put(entry, "state", text(status.freshness.as_str()));
    put(entry, "error", status.error.as_ref().map_or_else(null, |e| text(e.message())));
    put(entry, "failover_timeout", float(status.failover_timeout.as_secs_f64()));
    put(entry, "proof", text("off"));
    put(entry, "epoch", int(status.epoch));
}

fn member(place: &mut Zval, member: &Member) {
    let mut tags = ZendHashTable::new();
    for (name, tag) in &member.tags {
        let value = match tag {
            Tag::Bool(value) => boolean(*value),
            Tag::Int(value) => signed(*value),
            Tag::Float(value) => float(*value),
            Tag::Text(value) => text(value),
            Tag::Null => null(),
        };
        put(&mut tags, name, value);
    }
    if !zend::make_object(place, &MEMBER) {
        return;
    }
    let set = |name, value| zend::set_property(place, &MEMBER, name, value);
    set("name", text(&member.name));
    set("host", text(&member.endpoint.host.to_string()));
    set("port", int(u64::from(member.endpoint.port)));
    set("role", text(member.role.as_str()));
    set("state", text(&member.state));
    set("timeline", member.timeline.map_or_else(null, |t| int(u64::from(t))));
    set("lag", member.lag.map_or_else(null, int));
    set("tags", array(tags));
    set("apiUrl", member.api_url.as_deref().map_or_else(null, text));
}

/// A final class that PHP code can read, and not make.
fn value_class(name: &str) -> ClassBuilder {
    ClassBuilder::new(name)
        .flags(ClassFlags::Final)
        .method(FunctionBuilder::constructor(methods::no_instance), MethodFlags::Private)
}

fn put(table: &mut ZendHashTable, key: &str, value: Zval) {
    // Keys are texts, and only a full table refuses.
    let _ = table.insert(key, value);
}

fn boolean(value: bool) -> Zval {
    let mut zval = Zval::new();
    zval.set_bool(value);
    zval
}

fn signed(value: i64) -> Zval {
    let mut zval = Zval::new();
    zval.set_long(value);
    zval
}

fn float(value: f64) -> Zval {
    let mut zval = Zval::new();
    zval.set_double(value);
    zval
}
