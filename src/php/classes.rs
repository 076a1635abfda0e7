//! The class `HaDsn`: its methods and their signatures.

use ext_php_rs::args::Arg;
use ext_php_rs::builders::{ClassBuilder, FunctionBuilder};
use ext_php_rs::error::Result;
use ext_php_rs::flags::{ClassFlags, DataType, MethodFlags};

use super::zend::{self, Class};
use super::{methods, values};

static HADSN: Class = Class::new();

/// Registers it.
pub(super) fn register() -> Result<()> {
    let text = |name: &str| Arg::new(name, DataType::String);
    let cluster = || text("cluster").default("'default'");

    let configure = FunctionBuilder::new("configure", methods::configure)
        .arg(text("sources"))
        .not_required()
        .arg(cluster())
        .returns(DataType::Void, false, false);
    let writer = FunctionBuilder::new("writer", methods::writer).not_required().arg(cluster()).returns(
        DataType::String,
        false,
        false,
    );
    let reader = FunctionBuilder::new("reader", methods::reader)
        .not_required()
        .arg(cluster())
        .arg(Arg::new("maxLag", DataType::Long).allow_null().default("null"))
        .arg(text("after").allow_null().default("null"))
        .returns(DataType::String, false, false);
    let conninfo = FunctionBuilder::new("conninfo", methods::conninfo)
        .not_required()
        .arg(text("role").default("'writer'"))
        .arg(cluster())
        .returns(DataType::String, false, false);
    let invalidate = FunctionBuilder::new("invalidate", methods::invalidate).not_required().arg(cluster()).returns(
        DataType::Void,
        false,
        false,
    );
    let forget = FunctionBuilder::new("forget", methods::forget).not_required().arg(cluster()).returns(
        DataType::Void,
        false,
        false,
    );
    let topology = FunctionBuilder::new("topology", methods::topology).not_required().arg(cluster()).returns(
        DataType::Object(values::TOPOLOGY_NAME.into()),
        false,
        false,
    );
    let connect = FunctionBuilder::new("connect", methods::connect)
        .not_required()
        .arg(text("username").allow_null().default("null"))
        .arg(text("password").allow_null().default("null"))
        .arg(Arg::new("options", DataType::Array).allow_null().default("null"))
        .arg(text("role").default("'writer'"))
        .arg(cluster())
        .arg(text("after").allow_null().default("null"))
        .returns(DataType::Object("PDO".into()), false, false);
    let position = FunctionBuilder::new("position", methods::position)
        .arg(Arg::new("pdo", DataType::Object("PDO".into())))
        .returns(DataType::String, false, false);
    let verdict = FunctionBuilder::new("verdict", methods::verdict)
        .arg(Arg::new("error", DataType::Object("Throwable".into())))
        .not_required()
        .arg(Arg::new("phase", DataType::Object(r"HaDsn\Phase".into())).default(r"HaDsn\Phase::Unknown"))
        .arg(text("cluster").allow_null().default("null"))
        .returns(DataType::Object(r"HaDsn\Verdict".into()), false, false);
    let status = FunctionBuilder::new("status", methods::status).returns(DataType::Array, false, false);

    let mut class = ClassBuilder::new("HaDsn").flags(ClassFlags::Final);
    let methods =
        [configure, writer, reader, conninfo, invalidate, forget, topology, connect, position, verdict, status];
    for method in methods {
        class = class.method(method, MethodFlags::Public | MethodFlags::Static);
    }
    class
        .method(FunctionBuilder::constructor(methods::no_instance), MethodFlags::Private)
        .registration(|entry, arguments| HADSN.set(entry, arguments))
        .register()?;
    zend::mark_sensitive(&HADSN, "configure", 0)?;
    zend::mark_sensitive(&HADSN, "connect", 1)?;

    #[cfg(feature = "bench")]
    super::bench::register()?;
    Ok(())
}
