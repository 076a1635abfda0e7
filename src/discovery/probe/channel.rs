//! Channel binding `tls-server-end-point` (RFC 5929 section 4.1): the hash of the server's certificate.

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::tls::der::element;

/// The hash of `certificate` (DER) by the function of its signature; SHA-256 for MD5 and SHA-1. `None` where a
/// signature has none that PostgreSQL uses (Ed25519).
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(match hash_of(certificate)? {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, … } (RFC 5280 section 4.1).
fn hash_of(certificate: &[u8]) -> Option<Hash> {
    let (_, mut certificate) = element(&mut &*certificate)?;
    element(&mut certificate)?;
    let (_, mut algorithm) = element(&mut certificate)?;
    let (_, identifier) = element(&mut algorithm)?;
    if identifier == RSASSA_PSS { pss_hash(algorithm) } else { known(identifier, &SIGNATURES) }
}

/// RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] SEQUENCE { OID } DEFAULT sha1, … } (RFC 4055 section 3.1).
fn pss_hash(mut parameters: &[u8]) -> Option<Hash> {
    let (_, mut parameters) = element(&mut parameters)?;
    match element(&mut parameters) {
        Some((0xA0, mut hash)) => {
            let (_, mut hash) = element(&mut hash)?;
            known(element(&mut hash)?.1, &HASHES)
        }
        _ => Some(Hash::Sha256),
    }
}

fn known(identifier: &[u8], table: &[(&[u8], Hash)]) -> Option<Hash> {
    table.iter().find(|(known, _)| *known == identifier).map(|(_, hash)| *hash)
}

/// 1.2.840.113549.1.1.10.
const RSASSA_PSS: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 10];

/// RSA (PKCS #1) and ECDSA, each with the hashes that they are used with.
const SIGNATURES: [(&[u8], Hash); 9] = [
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 4], Hash::Sha256),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 5], Hash::Sha256),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 11], Hash::Sha256),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 12], Hash::Sha384),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 13], Hash::Sha512),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 1], Hash::Sha256),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2], Hash::Sha256),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 3], Hash::Sha384),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 4], Hash::Sha512),
];

/// SHA-1 and SHA-2 by themselves.
const HASHES: [(&[u8], Hash); 4] = [
    (&[0x2B, 0x0E, 3, 2, 26], Hash::Sha256),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], Hash::Sha256),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], Hash::Sha384),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], Hash::Sha512),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate as far as it is read here.
    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let mut inside = vec![0x30, 1, 0, 0x30, algorithm.len() as u8];
        inside.extend(algorithm);
        inside.extend([3, 1, 0]);
        let mut whole = vec![0x30, 0x81, inside.len() as u8];
        whole.extend(inside);
        whole
    }

    fn oid(bytes: &[u8]) -> Vec<u8> {
        [&[6, bytes.len() as u8], bytes].concat()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (identifier, hash) in SIGNATURES {
            assert_eq!(hash_of(&certificate(&oid(identifier))), Some(hash));
        }
        let sha384 = certificate(&oid(SIGNATURES[3].0));
        assert_eq!(end_point(&sha384), Some(Sha384::digest(&sha384).to_vec()));
        // Ed25519.
        assert_eq!(end_point(&certificate(&oid(&[0x2B, 0x65, 0x70]))), None);
    }

    #[test]
    fn pss_names_its_hash_in_its_parameters() {
        let wrapped = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        for (identifier, hash) in HASHES {
            let parameters = wrapped(0x30, &wrapped(0xA0, &wrapped(0x30, &oid(identifier))));
            assert_eq!(hash_of(&certificate(&[oid(RSASSA_PSS), parameters].concat())), Some(hash));
        }
        assert_eq!(hash_of(&certificate(&[oid(RSASSA_PSS), wrapped(0x30, &[])].concat())), Some(Hash::Sha256));
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        let whole = certificate(&oid(SIGNATURES[2].0));
        for length in 0..whole.len() {
            assert_eq!(end_point(&whole[..length]), None);
        }
        assert_eq!(end_point(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]), None);
    }
}
