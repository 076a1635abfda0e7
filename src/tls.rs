//! TLS: whom to trust and who we are, made into a configuration of rustls. The one place that makes one, for Patroni's
//! REST API and for PostgreSQL.

pub(crate) mod der;
mod explain;
mod validity;
mod verifier;

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::VerifierBuilderError;
use rustls::{ClientConfig, Error, InconsistentKeys, RootCertStore};

use explain::explain_certificate;
use verifier::{Check, Verifier};

pub use explain::explain;

/// Whom to trust, and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What a server has to prove.
    pub trust: Trust,
    /// What is shown to a server that asks who we are.
    pub identity: Option<Identity>,
    /// Certificates that are trusted no more: a PEM file with a CRL (RFC 5280 section 5) of every issuer in the
    /// chain. Without effect on [`Trust::Anybody`].
    pub revoked: Option<PathBuf>,
}

/// What a server has to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: the connection is only encrypted (libpq's `sslmode=require` without a root certificate).
    Anybody,
    /// That its certificate comes from a trusted issuer (`verify-ca`).
    Issuer(Roots),
    /// That, and that the certificate names the host (`verify-full`, https).
    IssuerAndName(Roots),
}

/// Which issuers are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those of the system.
    System,
    /// Those in a PEM file. A server's own certificate may stand there too: it is trusted as it is.
    File(PathBuf),
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM file: the certificate, and behind it those between it and the issuer that the server trusts.
    pub certificate: PathBuf,
    /// PEM file: its key, without a passphrase (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

impl Settings {
    /// What rustls needs. The files are read each time: certificates change under running workers. Reads the
    /// environment (`SSL_CERT_FILE`, `SSL_CERT_DIR`) for [`Roots::System`]: to be called on the thread of PHP.
    ///
    /// # Errors
    ///
    /// Which file is not usable and why, as a fragment for a message.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(self.verifier(&provider)?);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| explain(&e))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder.with_client_auth_cert(chain, key).map_err(|e| identity.refused(&e))?
            }
        };
        // Connections are short and their configuration is not kept.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, String> {
        let algorithms = provider.signature_verification_algorithms;
        let (roots, checks_name) = match &self.trust {
            Trust::Anybody => return Ok(Verifier { algorithms, check: None }),
            Trust::Issuer(roots) => (roots, false),
            Trust::IssuerAndName(roots) => (roots, true),
        };
        let (store, pinned) = roots.read()?;
        let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        if let Some(file) = &self.revoked {
            let lists = all::<CertificateRevocationListDer<'static>>(file, "certificate revocation list")?;
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        let chain = builder.build().map_err(|e| match (&e, &self.revoked) {
            (VerifierBuilderError::InvalidCrl(_), Some(file)) => {
                about(file, "holds no usable certificate revocation list")
            }
            _ => e.to_string(),
        })?;
        Ok(Verifier { algorithms, check: Some(Check { chain, pinned, checks_name }) })
    }
}

impl Roots {
    /// The issuers, and the certificates that are trusted as they are.
    fn read(&self) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), String> {
        let mut store = RootCertStore::empty();
        match self {
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                let (usable, _) = store.add_parsable_certificates(found.certs);
                if usable == 0 {
                    let why = found.errors.first().map(|e| format!(" ({e})")).unwrap_or_default();
                    return Err(format!(
                        "the system's store holds no certificate{why}: install ca-certificates or name a file"
                    ));
                }
                Ok((store, Vec::new()))
            }
            Self::File(file) => {
                let certificates = all::<CertificateDer<'static>>(file, "certificate")?;
                let (usable, _) = store.add_parsable_certificates(certificates.iter().cloned());
                if usable == 0 {
                    return Err(about(file, "holds no usable certificate"));
                }
                Ok((store, certificates))
            }
        }
    }
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let chain = all::<CertificateDer<'static>>(&self.certificate, "certificate")?;
        let text = read(&self.key)?;
        let contains = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
        if contains(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(b"Proc-Type: 4,ENCRYPTED") {
            return Err(about(&self.key, "is encrypted: hadsn reads keys without a passphrase"));
        }
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|e| not_pem(&self.key, "private key", &e))?;
        Ok((chain, key))
    }

    fn refused(&self, error: &Error) -> String {
        match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let certificate = self.certificate.display();
                about(&self.key, format_args!("the key does not belong to the certificate in {certificate}"))
            }
            Error::InvalidCertificate(e) => {
                about(&self.certificate, format_args!("holds a certificate that {}", explain_certificate(e)))
            }
            _ => about(
                &self.key,
                "holds a key that can't be used: RSA of 2048 bits or more, P-256, P-384 or Ed25519 can",
            ),
        }
    }
}

/// All sections of a kind in a PEM file (RFC 7468), one at least.
fn all<T: PemObject>(file: &Path, what: &str) -> Result<Vec<T>, String> {
    let text = read(file)?;
    let found = T::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>().map_err(|e| not_pem(file, what, &e))?;
    if found.is_empty() { Err(about(file, format_args!("holds no {what} (PEM)"))) } else { Ok(found) }
}

fn not_pem(file: &Path, what: &str, error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => about(file, format_args!("holds no {what} (PEM)")),
        error => about(file, format_args!("holds no usable {what}: {error}")),
    }
}

/// A whole file. What is no file could block for ever.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => about(file, "no such file"),
        ErrorKind::PermissionDenied => about(file, "may not be read by this user"),
        _ => about(file, format_args!("can't be read: {e}")),
    };
    let mut opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file).map_err(failed)?;
    if !opened.metadata().map_err(failed)?.is_file() {
        return Err(about(file, "is not a file"));
    }
    let mut text = Vec::new();
    opened.by_ref().take(MAX_FILE + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE { Err(about(file, "is larger than 16 MiB")) } else { Ok(text) }
}

fn about(file: &Path, problem: impl Display) -> String {
    format!("file {}: {problem}", file.display())
}

/// A bundle of all public issuers takes 250 KiB; the list of what a large one has revoked takes megabytes.
const MAX_FILE: u64 = 16 << 20;

#[cfg(test)]
#[path = "../tests/fake/authority.rs"]
#[allow(dead_code, reason = "the tests of the REST API use the rest")]
mod authority;

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    use super::authority::{Authority, Folder, Pair};
    use super::*;

    /// A handshake in memory.
    fn shake(settings: &Settings, server: &ServerConfig, name: &str) -> Result<(), String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(settings.client_config()?, name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server.clone())).unwrap();
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            server.read_tls(&mut bytes.as_slice()).unwrap();
            let served = server.process_new_packets().map(|_| ());
            bytes.clear();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets().map_err(|e| explain(&e))?;
            served.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn trusting(trust: Trust) -> Settings {
        Settings { trust, identity: None, revoked: None }
    }

    #[test]
    fn trust_asks_for_what_it_says_with_both_versions() {
        let (ours, theirs, folder) = (Authority::new("ours"), Authority::new("theirs"), Folder::new());
        let pinned = Pair::self_signed(&["pg1"], |_| {});
        let roots = || Roots::File(folder.file("ca.pem", &(ours.pem() + &pinned.pem)));
        let old = |pair: &mut rcgen::CertificateParams| pair.not_after = rcgen::date_time_ymd(2021, 1, 1);
        for version in [&TLS12, &TLS13] {
            for (what, pair, anybody, issuer, issuer_and_name) in [
                ("good", ours.issue(&["pg1"]), true, true, true),
                ("many names", ours.issue(&["pg2", "*.example", "pg1"]), true, true, true),
                ("wrong name", ours.issue(&["pg2"]), true, true, false),
                ("no name", ours.issue(&[]), true, true, false),
                ("wrong issuer", theirs.issue(&["pg1"]), true, false, false),
                ("expired", ours.issue_with(&["pg1"], old), true, false, false),
                ("self-signed", Pair::self_signed(&["pg1"], |_| {}), true, false, false),
            ] {
                let server = pair.server_of(&[version], None);
                for (trust, is_good) in [
                    (Trust::Anybody, anybody),
                    (Trust::Issuer(roots()), issuer),
                    (Trust::IssuerAndName(roots()), issuer_and_name),
                ] {
                    let result = shake(&trusting(trust.clone()), &server, "pg1");
                    assert_eq!(result.is_ok(), is_good, "{what}, {trust:?}: {result:?}");
                }
            }
            let server = pinned.server_of(&[version], None);
            assert_eq!(shake(&trusting(Trust::IssuerAndName(roots())), &server, "pg1"), Ok(()));
            assert_eq!(shake(&trusting(Trust::Issuer(roots())), &server, "pg2"), Ok(()));
            assert!(shake(&trusting(Trust::IssuerAndName(roots())), &server, "pg2").is_err());
        }
    }

    #[test]
    fn a_certificate_without_the_key_to_it_convinces_nobody() {
        let (ours, folder) = (Authority::new("ours"), Folder::new());
        let (victim, thief) = (ours.issue(&["pg1"]), ours.issue(&["pg1"]));
        let stolen = thief.server_showing(&victim);
        for trust in [Trust::Anybody, Trust::Issuer(Roots::File(folder.file("ca.pem", &ours.pem())))] {
            let error = shake(&trusting(trust), &stolen, "pg1").unwrap_err();
            assert!(error.contains("wrong signature"), "{error}");
        }
    }

    #[test]
    fn addresses_are_names_too() {
        let (ours, folder) = (Authority::new("ours"), Folder::new());
        let settings = trusting(Trust::IssuerAndName(Roots::File(folder.file("ca.pem", &ours.pem()))));
        let server = ours.issue(&["10.0.0.1", "fd00::1"]).server(None);
        assert_eq!(shake(&settings, &server, "10.0.0.1"), Ok(()));
        assert_eq!(shake(&settings, &server, "fd00::1"), Ok(()));
        let error = shake(&settings, &server, "10.0.0.2").unwrap_err();
        assert!(error.ends_with("is for other names (\"10.0.0.1\", \"fd00::1\"), not for 10.0.0.2"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_usable_is_named_with_what_is_wrong() {
        let (ours, folder) = (Authority::new("ours"), Folder::new());
        let (pair, other) = (ours.issue(&["app"]), ours.issue(&["app"]));
        let certificate = folder.file("app.crt", &pair.pem);
        let key = folder.file("app.key", &pair.key.serialize_pem());
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old_encrypted =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let identity = |certificate: &Path, key: &Path| {
            let identity = Identity { certificate: certificate.to_owned(), key: key.to_owned() };
            Settings { identity: Some(identity), ..trusting(Trust::Anybody) }
        };
        let roots = |file: PathBuf| trusting(Trust::Issuer(Roots::File(file)));
        let revoked = |name: &str, text: &str| Settings {
            revoked: Some(folder.file(name, text)),
            ..roots(folder.file("ca.pem", &ours.pem()))
        };
        for (settings, file, problem) in [
            (roots(folder.path().join("none.pem")), "none.pem", "no such file"),
            (roots(folder.path().to_owned()), "", "is not a file"),
            (roots("/dev/zero".into()), "/dev/zero", "is not a file"),
            (roots(folder.file("empty.pem", "")), "empty.pem", "holds no certificate (PEM)"),
            (roots(key.clone()), "app.key", "holds no certificate (PEM)"),
            (roots(folder.file("odd.pem", nonsense)), "odd.pem", "holds no usable certificate"),
            (roots(folder.file("cut.pem", &ours.pem()[..200])), "cut.pem", "holds no usable certificate: "),
            (roots(folder.file("big.pem", &"x".repeat(17 << 20))), "big.pem", "is larger than 16 MiB"),
            (revoked("none.crl", &ours.pem()), "none.crl", "holds no certificate revocation list (PEM)"),
            (
                revoked("odd.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
                "odd.crl",
                "holds no usable certificate revocation list",
            ),
            (identity(&key, &key), "app.key", "holds no certificate (PEM)"),
            (identity(&certificate, &certificate), "app.crt", "holds no private key (PEM)"),
            (
                identity(&certificate, &folder.file("1.key", encrypted)),
                "1.key",
                "is encrypted: hadsn reads keys without",
            ),
            (identity(&certificate, &folder.file("2.key", old_encrypted)), "2.key", "is encrypted: hadsn reads keys"),
            (
                identity(&certificate, &folder.file("3.key", &other.key.serialize_pem())),
                "3.key",
                "the key does not belong to the certificate in ",
            ),
            (
                identity(
                    &certificate,
                    &folder.file("4.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
                ),
                "4.key",
                "holds a key that can't be used",
            ),
            (identity(&folder.file("odd.crt", nonsense), &key), "odd.crt", "holds a certificate that can't be read"),
        ] {
            let error = settings.client_config().unwrap_err();
            assert!(error.starts_with("file ") && error.contains(&format!("{file}: {problem}")), "{error}");
        }
    }

    #[test]
    fn keys_of_the_old_form_are_read() {
        let (ours, folder) = (Authority::new("ours"), Folder::new());
        let pair = ours.issue(&["app"]);
        // SEC1 (RFC 5915) is what PKCS#8 wraps.
        let pkcs8 = pair.key.serialize_der();
        let start = pkcs8.windows(5).position(|bytes| bytes[0] == 0x30 && bytes[2..] == [2, 1, 1]).unwrap();
        let sec1 = rustls::pki_types::PrivateSec1KeyDer::from(pkcs8[start..].to_vec());
        use base64::Engine as _;
        let text = base64::prelude::BASE64_STANDARD.encode(sec1.secret_sec1_der());
        let text = format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n");
        let identity = Identity { certificate: folder.file("a.crt", &pair.pem), key: folder.file("a.key", &text) };
        let settings = Settings { identity: Some(identity), ..trusting(Trust::Anybody) };
        assert_eq!(shake(&settings, &ours.issue(&["pg1"]).server(Some(&ours)), "pg1"), Ok(()));
    }

    #[test]
    fn a_rotated_file_is_seen() {
        let (before, after, folder) = (Authority::new("before"), Authority::new("after"), Folder::new());
        let server = after.issue(&["pg1"]).server(None);
        let settings = trusting(Trust::IssuerAndName(Roots::File(folder.file("ca.pem", &before.pem()))));
        assert!(shake(&settings, &server, "pg1").is_err());
        folder.file("ca.pem", &after.pem());
        assert_eq!(shake(&settings, &server, "pg1"), Ok(()));
    }
}
