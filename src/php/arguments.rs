//! The arguments of a call, as the methods read them.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr;

use ext_php_rs::ffi::zend_string;
use ext_php_rs::types::{ZendObject, ZendStr, Zval};
use ext_php_rs::zend::ExecuteData;

use super::request::Role;
use super::settings::DEFAULT_CLUSTER;
use super::zend;
use crate::config::check_cluster_name;
use crate::error::Error;
use crate::position::Position;

/// A string argument: borrowed from the call, which keeps it alive.
#[derive(Clone, Copy)]
pub(super) struct Text(*mut zend_string);

impl Text {
    pub(super) fn none() -> Self {
        Self(ptr::null_mut())
    }

    pub(super) fn place(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_null()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: null, or an argument of the running call, which holds a reference to it.
        unsafe { self.0.as_ref() }.map_or(b"", |string| string.as_bytes())
    }

    /// As a value, if it is there.
    pub(super) fn value(&self) -> Option<Zval> {
        // SAFETY: null, or an argument of the running call.
        let string = unsafe { self.0.as_ref() }?;
        let mut value = Zval::new();
        value.set_zend_string(ZendStr::new(string.as_bytes(), false));
        Some(value)
    }

    /// As a role.
    pub(super) fn role(&self) -> Result<Role, Error> {
        match self.bytes() {
            _ if self.is_none() => Ok(Role::Writer),
            b"writer" => Ok(Role::Writer),
            b"reader" => Ok(Role::Reader),
            other => Err(Error::role(&String::from_utf8_lossy(other))),
        }
    }

    /// As a token.
    pub(super) fn position(&self) -> Result<Option<Position>, Error> {
        if self.is_none() {
            return Ok(None);
        }
        Position::parse(&String::from_utf8_lossy(self.bytes())).map(Some)
    }

    /// As the name of a cluster.
    pub(super) fn name(&self) -> Result<&str, Error> {
        if self.is_none() {
            return Ok(DEFAULT_CLUSTER);
        }
        let name = std::str::from_utf8(self.bytes())
            .map_err(|_| Error::cluster_name(&String::from_utf8_lossy(self.bytes())))?;
        check_cluster_name(name)?;
        Ok(name)
    }
}

/// An argument of another type: borrowed from the call, which keeps it alive.
#[derive(Clone, Copy)]
pub(super) struct Object<'a>(*mut Zval, PhantomData<&'a Zval>);

impl<'a> Object<'a> {
    pub(super) fn none() -> Self {
        Self(ptr::null_mut(), PhantomData)
    }

    pub(super) fn place(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    pub(super) fn zval(self) -> Option<&'a Zval> {
        // SAFETY: null, or an argument of the running call.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn get(self) -> Option<&'a ZendObject> {
        self.zval().and_then(Zval::object)
    }
}

/// Reads the arguments of a call into `places`, by the rules of zend_parse_parameters(); throws and
/// returns false when they do not fit.
pub(super) fn parse(call: &mut ExecuteData, spec: &CStr, places: &mut [*mut c_void]) -> bool {
    // SAFETY: each method passes places of the types that its specification names: S is a
    // `zend_string *`, l! a `zend_long` and a `bool`, O a `zval *` and a
    // class, a! a `zval *`. Surplus arguments are not looked at.
    unsafe {
        let count = call.This.u2.num_args;
        let mut all = [ptr::null_mut(); 8];
        for (to, from) in all.iter_mut().zip(places) {
            *to = *from;
        }
        let [a, b, c, d, e, f, g, h] = all;
        zend::zend_parse_parameters(count, spec.as_ptr(), a, b, c, d, e, f, g, h) == 0
    }
}
