//! What `make bench` measures against: two methods of this very build that do nothing.

use ext_php_rs::builders::{ClassBuilder, FunctionBuilder, ModuleBuilder};
use ext_php_rs::error::Result;
use ext_php_rs::flags::{ClassFlags, DataType, MethodFlags};
use ext_php_rs::types::Zval;
use ext_php_rs::zend::ExecuteData;
use ext_php_rs::{php_class, php_impl};

use super::zend::Class;

/// A class as ext-php-rs makes it: `HaDsnBench::nothing()` is what an empty method costs there.
#[php_class]
#[php(name = "HaDsnBench")]
#[derive(Default)]
pub struct Usual;

#[php_impl]
impl Usual {
    /// Does nothing.
    pub fn nothing() {}
}

static BARE: Class = Class::new();

/// Adds the usual class to the module.
pub(super) fn usual(module: ModuleBuilder) -> ModuleBuilder {
    module.class::<Usual>()
}

/// Registers `HaDsnBenchBare`, whose method has nothing between it and Zend.
pub(super) fn register() -> Result<()> {
    let nothing = FunctionBuilder::new("nothing", nothing).returns(DataType::Void, false, false);
    ClassBuilder::new("HaDsnBenchBare")
        .flags(ClassFlags::Final)
        .method(nothing, MethodFlags::Public | MethodFlags::Static)
        .registration(|entry, arguments| BARE.set(entry, arguments))
        .register()
}

extern "C" fn nothing(_call: &mut ExecuteData, _result: &mut Zval) {}
