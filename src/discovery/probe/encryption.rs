//! What `sslmode` and its companions ask for, as libpq does it.
//!
//! Source: PostgreSQL manual, 34.19 "SSL Support"; details from `fe-secure-openssl.c` of libpq.

use std::cell::OnceCell;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;

use super::keywords::{at_home, value};
use super::refusal::Refusal;
use crate::config::Config;
use crate::tls::{Identity, Roots, Settings, Trust};

/// How connections are to be encrypted.
#[derive(Debug)]
pub(super) struct Encryption {
    /// What is tried first.
    pub(super) first: Way,
    /// What is tried when the server does not let one in the first way.
    pub(super) second: Option<Way>,
    /// For messages.
    pub(super) sslmode: String,
    settings: Result<Settings, String>,
    /// Made when the first server has TLS.
    config: OnceCell<Result<Arc<ClientConfig>, String>>,
}

/// A way to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Without TLS.
    Plain,
    /// With TLS, or without if the server has none.
    TlsOrPlain,
    /// With TLS.
    Tls,
}

impl Encryption {
    /// What the configuration says.
    ///
    /// # Errors
    ///
    /// What in it contradicts itself.
    pub(super) fn new(config: &Config) -> Result<Self, Refusal> {
        let root = value(config, "sslrootcert");
        let trusts_system = root.as_deref() == Some("system");
        let default = if trusts_system { "verify-full" } else { "prefer" };
        let sslmode = value(config, "sslmode").unwrap_or_else(|| default.to_owned());
        if trusts_system && sslmode != "verify-full" {
            return Err(Refusal::unable(format!("sslrootcert=system needs sslmode=verify-full, not {sslmode}")));
        }
        let (first, second) = match sslmode.as_str() {
            "disable" => (Way::Plain, None),
            "allow" => (Way::Plain, Some(Way::Tls)),
            "prefer" => (Way::TlsOrPlain, Some(Way::Plain)),
            "require" | "verify-ca" | "verify-full" => (Way::Tls, None),
            // The configuration is checked; this comes from PGSSLMODE.
            _ => return Err(Refusal::unable("PGSSLMODE is set to no mode that there is")),
        };
        let settings = settings(config, &sslmode, root);
        Ok(Self { first, second, sslmode, settings, config: OnceCell::new() })
    }

    /// The configuration of rustls.
    ///
    /// # Errors
    ///
    /// Which file is not usable and why.
    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, Refusal> {
        let made = self.config.get_or_init(|| self.settings.as_ref().map_err(String::clone)?.client_config());
        made.clone().map_err(|text| Refusal::unable(format!("TLS: {text}")))
    }

    /// Whether a server may have any name.
    pub(super) fn ignores_name(&self) -> bool {
        !matches!(&self.settings, Ok(Settings { trust: Trust::IssuerAndName(_), .. }))
    }
}

fn settings(config: &Config, sslmode: &str, root: Option<String>) -> Result<Settings, String> {
    let trust = trust(sslmode, root)?;
    let revoked = match value(config, "sslcrl") {
        Some(file) => Some(PathBuf::from(file)),
        None => at_home(".postgresql/root.crl").filter(|file| file.exists()),
    };
    Ok(Settings { trust, identity: identity(config)?, revoked })
}

/// A root certificate that is there is used in every mode: that makes `require` the same as `verify-ca`.
fn trust(sslmode: &str, root: Option<String>) -> Result<Trust, String> {
    if root.as_deref() == Some("system") {
        return Ok(Trust::IssuerAndName(Roots::System));
    }
    let file = root.map(PathBuf::from).or_else(|| at_home(".postgresql/root.crt"));
    match (sslmode, file) {
        ("verify-full", Some(file)) => Ok(Trust::IssuerAndName(Roots::File(file))),
        ("verify-ca", Some(file)) => Ok(Trust::Issuer(Roots::File(file))),
        ("verify-full" | "verify-ca", None) => Err(format!("sslmode={sslmode} needs sslrootcert")),
        (_, Some(file)) if file.exists() => Ok(Trust::Issuer(Roots::File(file))),
        _ => Ok(Trust::Anybody),
    }
}

/// A certificate that is not there is not shown; the server may do without.
fn identity(config: &Config) -> Result<Option<Identity>, String> {
    let file = |keyword, default| value(config, keyword).map(PathBuf::from).or_else(|| at_home(default));
    let Some(certificate) = file("sslcert", ".postgresql/postgresql.crt").filter(|file| file.exists()) else {
        return Ok(None);
    };
    let key = file("sslkey", ".postgresql/postgresql.key").ok_or("sslcert needs sslkey beside it")?;
    check_key(&key)?;
    Ok(Some(Identity { certificate, key }))
}

/// libpq does not use a key that others may read.
fn check_key(key: &Path) -> Result<(), String> {
    let metadata = fs::metadata(key).map_err(|e| match e.kind() {
        ErrorKind::NotFound => format!("file {}: no such file, and sslcert needs its key", key.display()),
        _ => format!("file {}: {e}", key.display()),
    })?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden == 0 {
        return Ok(());
    }
    Err(format!(
        "file {}: others may read this key: give it the permissions 0600, or 0640 if root owns it",
        key.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encryption(options: &str) -> Result<Encryption, Refusal> {
        Encryption::new(&Config::parse(&format!("patroni://a/app?{options}")).unwrap())
    }

    #[test]
    fn modes_are_tried_as_libpq_does() {
        for (mode, first, second) in [
            ("disable", Way::Plain, None),
            ("allow", Way::Plain, Some(Way::Tls)),
            ("prefer", Way::TlsOrPlain, Some(Way::Plain)),
            ("require", Way::Tls, None),
            ("verify-ca", Way::Tls, None),
            ("verify-full", Way::Tls, None),
        ] {
            let encryption = encryption(&format!("sslmode={mode}")).unwrap();
            assert_eq!((encryption.first, encryption.second), (first, second), "{mode}");
        }
    }

    #[test]
    fn a_root_certificate_that_is_there_is_used() {
        let here = "sslrootcert=Cargo.toml";
        let file = || Roots::File("Cargo.toml".into());
        let trust = |options: &str| encryption(options).unwrap().settings.map(|settings| settings.trust);
        assert_eq!(trust(&format!("sslmode=require&{here}")), Ok(Trust::Issuer(file())));
        assert_eq!(trust(&format!("sslmode=prefer&{here}")), Ok(Trust::Issuer(file())));
        assert_eq!(trust(&format!("sslmode=verify-ca&{here}")), Ok(Trust::Issuer(file())));
        assert_eq!(trust(&format!("sslmode=verify-full&{here}")), Ok(Trust::IssuerAndName(file())));
        assert_eq!(trust("sslmode=require&sslrootcert=/nowhere"), Ok(Trust::Anybody));
        assert!(matches!(trust("sslmode=verify-ca&sslrootcert=/nowhere"), Ok(Trust::Issuer(_))));
        assert_eq!(trust("sslrootcert=system"), Ok(Trust::IssuerAndName(Roots::System)));
        assert!(encryption("sslrootcert=system&sslmode=require").is_err());
    }

    #[test]
    fn a_client_certificate_needs_a_key_that_only_its_owner_reads() {
        let settings = |options: &str| encryption(options).unwrap().settings;
        assert_eq!(settings("sslcert=/nowhere").unwrap().identity, None);
        let error = settings("sslcert=Cargo.toml&sslkey=/nowhere").unwrap_err();
        assert!(error.starts_with("file /nowhere: "), "{error}");
        let error = settings("sslcert=Cargo.toml&sslkey=Cargo.toml").unwrap_err();
        assert!(error.contains("others may read this key"), "{error}");
    }
}
