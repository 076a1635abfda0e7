//! Registering what ext-php-rs's builders can't: typed readonly properties, enums, sensitive parameters.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use ext_php_rs::error::{Error, Result};
use ext_php_rs::ffi::{
    HashTable, ZEND_ACC_PUBLIC, zend_class_entry, zend_enum_add_case, zend_hash_str_find, zend_register_internal_enum,
    zend_string, zend_type, zval,
};
use ext_php_rs::types::{ZendStr, Zval};

use super::Class;

/// The type of a property.
pub(in crate::php) enum Type {
    Array,
    Float,
    Int,
    NullableInt,
    NullableString,
    String,
    NullableClass(&'static str),
}

impl Type {
    fn to_zend(&self) -> zend_type {
        let (name, mask) = match self {
            Self::Array => (None, MAY_BE_ARRAY),
            Self::Float => (None, MAY_BE_DOUBLE),
            Self::Int => (None, MAY_BE_LONG),
            Self::NullableInt => (None, MAY_BE_LONG | MAY_BE_NULL),
            Self::NullableString => (None, MAY_BE_STRING | MAY_BE_NULL),
            Self::String => (None, MAY_BE_STRING),
            Self::NullableClass(name) => (Some(name), ext_php_rs::ffi::_ZEND_TYPE_NAME_BIT | MAY_BE_NULL),
        };
        let ptr = name.map_or(ptr::null_mut(), |name| interned(name).cast::<c_void>());
        zend_type { ptr, type_mask: mask }
    }
}

/// Declares `public readonly TYPE $name`. At startup only.
pub(in crate::php) fn declare_readonly(class: &Class, name: &str, property: &Type) {
    let mut undefined = Zval::new();
    // An undefined default makes the property uninitialised until it is set.
    undefined.u1.type_info = 0;
    // SAFETY: the class is registered, the name is interned for the life of the process, and Zend
    // copies the rest.
    unsafe {
        zend_declare_typed_property(
            class.entry(),
            interned(name),
            &raw mut undefined,
            (ZEND_ACC_PUBLIC | ZEND_ACC_READONLY).cast_signed(),
            ptr::null_mut(),
            property.to_zend(),
        );
    }
}

/// A case of a string-backed enum.
pub(in crate::php) struct Case {
    pub(in crate::php) name: &'static str,
    pub(in crate::php) value: &'static str,
}

/// Registers a string-backed enum. At startup only.
pub(in crate::php) fn register_enum(class: &Class, name: &CStr, cases: &[Case]) -> Result<()> {
    // SAFETY: the name is NUL-terminated, there are no methods, and names and values of the cases are
    // interned for the life of the process.
    unsafe {
        let entry = zend_register_internal_enum(name.as_ptr(), ext_php_rs::ffi::IS_STRING as u8, ptr::null());
        if entry.is_null() {
            return Err(Error::InvalidPointer);
        }
        // As every enum that PHP code declares; PHP 8.2 leaves it out for internal ones.
        (*entry).ce_flags |= ext_php_rs::ffi::ZEND_ACC_FINAL;
        class.set_entry(entry);
        for case in cases {
            let mut value = Zval::new();
            value.value.str_ = interned(case.value);
            value.u1.type_info = ext_php_rs::ffi::IS_INTERNED_STRING_EX;
            zend_enum_add_case(entry, interned(case.name), &raw mut value);
            // Zend has it now, and an interned string is not counted.
            std::mem::forget(value);
        }
    }
    Ok(())
}

/// Marks parameter `number` (from 0) of `method` as `#[\SensitiveParameter]`: a stack trace hides its
/// value. At startup only.
pub(in crate::php) fn mark_sensitive(class: &Class, method: &str, number: u32) -> Result<()> {
    let name = method.to_ascii_lowercase();
    // SAFETY: the class is registered; its function table holds functions, and internal ones live as
    // long as the process. `attributes` starts out null, which zend_add_attribute() fills in.
    unsafe {
        let table = &raw const (*class.entry()).function_table;
        let found = zend_hash_str_find(table, name.as_ptr().cast(), name.len());
        let function = found.as_ref().ok_or(Error::InvalidPointer)?.value.func;
        // Parameters are counted from 1; 0 is the function itself.
        zend_add_attribute(
            &raw mut (*function).common.attributes,
            interned("SensitiveParameter"),
            0,
            ZEND_ATTRIBUTE_PERSISTENT,
            number + 1,
            0,
        );
    }
    Ok(())
}

/// A string that lives as long as the process.
pub(in crate::php) fn interned(text: &str) -> *mut zend_string {
    ZendStr::new_interned(text, true).into_raw()
}

// Zend/zend_type_info.h: one bit a type.
const MAY_BE_NULL: u32 = 1 << 1;
const MAY_BE_LONG: u32 = 1 << 4;
const MAY_BE_DOUBLE: u32 = 1 << 5;
const MAY_BE_STRING: u32 = 1 << 6;
const MAY_BE_ARRAY: u32 = 1 << 7;

// Zend/zend_compile.h.
const ZEND_ACC_READONLY: u32 = 1 << 7;

// Zend/zend_attributes.h.
const ZEND_ATTRIBUTE_PERSISTENT: u32 = 1 << 0;

unsafe extern "C" {
    fn zend_declare_typed_property(
        class: *mut zend_class_entry,
        name: *mut zend_string,
        default: *mut zval,
        flags: c_int,
        doc_comment: *mut zend_string,
        property: zend_type,
    ) -> *mut c_void;

    fn zend_add_attribute(
        attributes: *mut *mut HashTable,
        name: *mut zend_string,
        argc: u32,
        flags: u32,
        offset: u32,
        line: u32,
    ) -> *mut c_void;
}
