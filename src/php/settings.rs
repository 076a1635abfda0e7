//! Where the source string of a cluster comes from when no `configure()` set it: the environment, a
//! file, php.ini.

use std::ffi::{CString, OsStr};
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{ini, zend};
use crate::config::check_cluster_name;
use crate::error::Error;

/// The cluster that is meant when none is named.
pub(super) const DEFAULT_CLUSTER: &str = "default";

/// A source string, and where it was found.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) origin: String,
}

/// Looks in the environment (`HADSN_URL`, then the file that `HADSN_URL_FILE` names), then in php.ini.
pub(super) fn find(cluster: &str) -> Result<Found, Error> {
    let variable = variable_of(cluster);
    if let Some(value) = environment(&variable) {
        return found(variable, value);
    }
    let file_variable = format!("{variable}_FILE");
    if let Some(path) = environment(&file_variable) {
        let path = Path::new(OsStr::from_bytes(&path)).to_owned();
        let value = read(&path).map_err(|e| e.from_origin(&file_variable))?;
        return found(format!("{file_variable} ({})", path.display()), value);
    }
    let setting = ini::setting_of(cluster);
    match zend::ini_value(&setting) {
        Some(value) if !value.is_empty() => found(setting, value),
        _ => Err(Error::not_configured(cluster, &variable, &setting)),
    }
}

/// A text from outside that has to be UTF-8 without NUL bytes.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, Error> {
    if bytes.contains(&0) {
        return Err(Error::not_text("a NUL byte"));
    }
    String::from_utf8(bytes).map_err(|_| Error::not_text("bytes that are not UTF-8"))
}

/// The names of the clusters that the environment or php.ini configures.
pub(super) fn clusters() -> Vec<String> {
    let mut names = ini::clusters();
    for variable in zend::environment_names() {
        let Some(rest) = variable.strip_prefix(VARIABLE) else { continue };
        let rest = rest.strip_suffix("_FILE").unwrap_or(rest);
        let Some(name) = rest.strip_prefix('_') else { continue };
        let lower = name.to_ascii_lowercase();
        if lower.to_ascii_uppercase() == name && lower != DEFAULT_CLUSTER && check_cluster_name(&lower).is_ok() {
            names.push(lower);
        }
    }
    if find(DEFAULT_CLUSTER).map_or_else(|e| !e.is_not_configured(), |_| true) {
        names.push(DEFAULT_CLUSTER.to_owned());
    }
    names.sort();
    names.dedup();
    names
}

fn found(origin: String, value: Vec<u8>) -> Result<Found, Error> {
    let text = text(value).map_err(|e| e.from_origin(&origin))?;
    if text.trim().is_empty() {
        return Err(Error::empty_setting().from_origin(&origin));
    }
    Ok(Found { text, origin })
}

fn variable_of(cluster: &str) -> String {
    if cluster == DEFAULT_CLUSTER {
        VARIABLE.to_owned()
    } else {
        format!("{VARIABLE}_{}", cluster.to_ascii_uppercase())
    }
}

fn environment(name: &str) -> Option<Vec<u8>> {
    CString::new(name).ok().and_then(|name| zend::environment(&name))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |reason: String| Error::unreadable_file(path, reason);
    let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| unreadable("the path has a NUL byte".into()))?;
    if !zend::may_open(&c_path) {
        return Err(unreadable("open_basedir does not allow to read it".into()));
    }
    // Neither a pipe nor a terminal may make the request wait.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)
        .map_err(|e| unreadable(e.to_string()))?;
    let is_file = file.metadata().map_err(|e| unreadable(e.to_string()))?.is_file();
    if !is_file {
        return Err(unreadable("not a regular file".into()));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| unreadable(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(unreadable("larger than 64 KiB".into()));
    }
    Ok(bytes)
}

const VARIABLE: &str = "HADSN_URL";

const MAX_FILE: u64 = 64 * 1024;
