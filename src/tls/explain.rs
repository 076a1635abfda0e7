//! What went wrong with TLS, in words.

use rustls::{AlertDescription, CertRevocationListError, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::validity::written;
use crate::error::shown;

/// Why a TLS connection failed, as a fragment for a message that names the server.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(e) => format!("the certificate {}", explain_certificate(e)),
        Error::InvalidCertRevocationList(CertRevocationListError::IssuerInvalidForCrl) => {
            "the certificate revocation list is signed by an issuer that may not sign one".into()
        }
        Error::InvalidCertRevocationList(e) => format!("the certificate revocation list can't be used: {e:?}"),
        Error::NoCertificatesPresented => "the server shows no certificate".into(),
        Error::AlertReceived(alert) => explain_alert(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "the server speaks no TLS".into(),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the server speaks neither TLS 1.2 nor TLS 1.3".into(),
        other => other.to_string(),
    }
}

/// What is wrong with a certificate: the rest of a sentence that begins with it.
pub(super) fn explain_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => "is signed by an issuer that patroni_cafile/sslrootcert does not hold".into(),
        E::ExpiredContext { not_after, .. } => format!("has expired (not after {})", written(*not_after)),
        E::Expired => "has expired".into(),
        E::NotValidYetContext { not_before, .. } => {
            format!("is not valid yet (not before {}): are the clocks right?", written(*not_before))
        }
        E::NotValidYet => "is not valid yet".into(),
        E::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return format!(
                    "names no host in a subject alternative name, so it is not for {expected}: the common name does \
                     not count (RFC 9525)"
                );
            }
            format!("is for other names ({}), not for {expected}", names(presented))
        }
        E::NotValidForName => "is for other names".into(),
        E::Revoked => "is revoked".into(),
        E::UnknownRevocationStatus => "has an issuer without a certificate revocation list in the file of them".into(),
        E::ExpiredRevocationListContext { next_update, .. } => format!(
            "can't be checked: the certificate revocation list has expired (next update {})",
            written(*next_update)
        ),
        E::ExpiredRevocationList => "can't be checked: the certificate revocation list has expired".into(),
        E::BadSignature => {
            "has a wrong signature: patroni_cafile/sslrootcert may hold an issuer of the same name with \
                            another key, or the server lacks the key to its certificate"
                .into()
        }
        E::BadEncoding => "can't be read".into(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "is not made for servers (extended key usage without serverAuth)".into()
        }
        #[allow(deprecated, reason = "rustls still makes it in places")]
        E::UnsupportedSignatureAlgorithm
        | E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed in a way that is not supported (SHA-1, P-521 or another rare one)".into()
        }
        E::Other(other) => match other.to_string().as_str() {
            // What webpki says, which rustls does not translate.
            "UnsupportedCertVersion" => {
                "is of X.509 version 1, which is not supported: make it with a subject alternative name".into()
            }
            "CaUsedAsEndEntity" => "is that of an issuer (CA:TRUE), which only a server whose very certificate is in \
                                    patroni_cafile/sslrootcert may use"
                .into(),
            other => format!("is not accepted: {other}"),
        },
        other => format!("is not accepted: {other}"),
    }
}

/// What a server says before it hangs up (RFC 8446 section 6.2).
fn explain_alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired | A::NoCertificate => "the server wants a client certificate".into(),
        A::UnknownCA => "the server does not know the issuer of our client certificate".into(),
        A::CertificateExpired => "the server says that our client certificate has expired".into(),
        A::CertificateRevoked => "the server says that our client certificate is revoked".into(),
        A::BadCertificate | A::UnsupportedCertificate | A::CertificateUnknown | A::DecryptError | A::AccessDenied => {
            format!("the server does not accept our client certificate, or wants one ({alert:?})")
        }
        A::HandshakeFailure => {
            "the server refuses the handshake: it wants a client certificate, or shares no cipher with us".into()
        }
        A::ProtocolVersion => "the server speaks neither TLS 1.2 nor TLS 1.3".into(),
        A::UnrecognisedName => "the server does not go by this name (SNI)".into(),
        other => format!("the server ended it ({other:?})"),
    }
}

/// Names of a certificate as webpki writes them: `DnsName("pg1")`, `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        shown(inside.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(inside))
    };
    let mut names: Vec<String> = presented.iter().take(MAX_NAMES).map(plain).collect();
    if presented.len() > MAX_NAMES {
        names.push("…".into());
    }
    names.join(", ")
}

/// How many names of a certificate a message shows.
const MAX_NAMES: usize = 8;
