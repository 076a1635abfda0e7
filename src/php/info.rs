//! hadsn's part of `phpinfo()` and `php --ri hadsn`.

use std::ffi::CString;

use ext_php_rs::ffi::{
    php_info_print_table_end, php_info_print_table_header, php_info_print_table_row, php_info_print_table_start,
};
use ext_php_rs::zend::ModuleEntry;

use super::{ini, methods, request, zend};
use crate::cluster::{Call, Status};
use crate::config::Config;
use crate::error::Error;

/// Prints it. A cluster that nothing is known of yet is asked once, within its `timeout`.
pub(super) extern "C" fn print(_module: *mut ModuleEntry) {
    zend::status_of(|| {
        let rows = rows();
        table(&["hadsn", "enabled"], &rows);
        table(&["Directive", "Value"], &directives());
        Ok(())
    });
}

fn rows() -> Vec<(String, String)> {
    let mut rows = vec![
        ("Version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("PHP API".to_owned(), ext_php_rs::ffi::ZEND_MODULE_API_NO.to_string()),
    ];
    for (name, status) in methods::statuses() {
        let row = |what: &str, value: String| (format!("Cluster {name}: {what}"), value);
        match status.and_then(|status| looked_up(&name, status)) {
            Err(error) => rows.push(row("error", error.message().to_owned())),
            Ok(status) => {
                rows.push(row("source", status.source.clone()));
                rows.push(row("answered by", or_none(status.answered_by)));
                rows.push(row("leader", leader(status.leader, status.leader_address)));
                rows.push(row("age", status.age.map_or("none".into(), |age| format!("{:.3} s", age.as_secs_f64()))));
                rows.push(row("state", status.freshness.as_str().to_owned()));
                if let Some(error) = status.error {
                    rows.push(row("error", error.message().to_owned()));
                }
            }
        }
    }
    rows
}

fn looked_up(name: &str, status: Status) -> Result<Status, Error> {
    if status.age.is_some() {
        return Ok(status);
    }
    let cluster = request::cluster(name)?;
    // What went wrong stands in the status.
    let _ = cluster.topology(&Call::now(None));
    Ok(cluster.status())
}

fn directives() -> Vec<(String, String)> {
    let mut names = vec![ini::URL.to_owned()];
    names.extend(ini::clusters().iter().map(|cluster| ini::setting_of(cluster)));
    let mut rows: Vec<_> = names
        .into_iter()
        .map(|name| {
            let value = zend::ini_value(&name).unwrap_or_default();
            let shown = match String::from_utf8_lossy(&value).as_ref() {
                "" => "no value".to_owned(),
                // A text that can't be parsed may hold a password anywhere.
                text => Config::parse(text).map_or_else(|_| "(invalid)".to_owned(), |config| config.display()),
            };
            (name, shown)
        })
        .collect();
    rows.push((ini::PDO_DSN.to_owned(), if ini::has_pdo_dsn() { "on" } else { "off" }.to_owned()));
    rows
}

fn leader(name: Option<String>, address: Option<String>) -> String {
    match (name, address) {
        (Some(name), Some(address)) => format!("{name} ({address})"),
        _ => "none".to_owned(),
    }
}

fn or_none(value: Option<String>) -> String {
    value.unwrap_or_else(|| "none".to_owned())
}

fn table(header: &[&str; 2], rows: &[(String, String)]) {
    // A foreign text stays on its line, and has no NUL byte left.
    let c = |text: &str| {
        let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        CString::new(text.chars().map(escape).collect::<String>()).unwrap_or_default()
    };
    let [left, right] = header.map(c);
    // SAFETY: two NUL-terminated texts for each row of two columns; PHP escapes them for HTML.
    unsafe {
        php_info_print_table_start();
        php_info_print_table_header(2, left.as_ptr(), right.as_ptr());
        for (left, right) in rows {
            let (left, right) = (c(left), c(right));
            php_info_print_table_row(2, left.as_ptr(), right.as_ptr());
        }
        php_info_print_table_end();
    }
}
