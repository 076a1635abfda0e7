//! The ini settings: `hadsn.pdo_dsn`, `hadsn.url`, and `hadsn.url.NAME` for a cluster of that name.

use std::ffi::CString;
use std::sync::atomic::{AtomicPtr, Ordering};

use ext_php_rs::error::Result;
use ext_php_rs::flags::IniEntryPermission;
use ext_php_rs::zend::IniEntryDef;

use super::zend;
use crate::config::check_cluster_name;

/// The setting of the default cluster.
pub(super) const URL: &str = "hadsn.url";

/// Whether PDO takes `hadsn:` DSNs.
pub(super) const PDO_DSN: &str = "hadsn.pdo_dsn";

/// The setting of the cluster `name`.
pub(super) fn setting_of(cluster: &str) -> String {
    if cluster == super::settings::DEFAULT_CLUSTER { URL.to_owned() } else { format!("{URL}.{cluster}") }
}

/// Registers `hadsn.url`, and every `hadsn.url.NAME` that php.ini or `-d` sets: PHP knows no settings
/// with a variable name.
pub(super) fn register(module_number: i32) -> Result<()> {
    let mut names = vec![URL.to_owned()];
    names.extend(zend::configured_names(&format!("{URL}.")));
    let mut entries = Vec::new();
    for name in names {
        // Zend borrows the table and the names for the life of the process.
        let name: &'static CString = Box::leak(Box::new(CString::new(name)?));
        entries.push(IniEntryDef::new(name, c"", IniEntryPermission::System));
    }
    entries.push(IniEntryDef::new(c"hadsn.pdo_dsn", c"on", IniEntryPermission::System));
    entries.push(IniEntryDef::end());
    let entries = entries.leak();
    TABLE.store(entries.as_mut_ptr(), Ordering::Release);
    IniEntryDef::register(entries, module_number);
    Ok(())
}

/// The table that Zend borrows, so that it is not lost.
#[used]
static TABLE: AtomicPtr<IniEntryDef> = AtomicPtr::new(std::ptr::null_mut());

/// Whether `hadsn.pdo_dsn` is on. php.ini makes an empty text of `off`.
pub(super) fn has_pdo_dsn() -> bool {
    let value = zend::ini_value(PDO_DSN).unwrap_or_default().to_ascii_lowercase();
    !matches!(value.as_slice(), b"" | b"0" | b"off" | b"no" | b"false")
}

/// The names of the clusters that have a setting.
pub(super) fn clusters() -> Vec<String> {
    let prefix = format!("{URL}.");
    zend::configured_names(&prefix)
        .into_iter()
        .filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned))
        .filter(|name| check_cluster_name(name).is_ok())
        .collect()
}
