//! Public keys from a PEM file (RFC 7468): several may stand in one file, which is how a static key is rotated.

use x509_parser::asn1_rs::Oid;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::keys::{Key, KeyError, KeySet};

/// Bytes of a PEM file of keys.
pub const PEM_BYTES_MAX: usize = 256 << 10;

const ACCEPTED: &str = "PUBLIC KEY (RSA, EC P-256, Ed25519) or RSA PUBLIC KEY";

/// Why a PEM file gives no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemKeysError {
    /// More than is read.
    #[error("{bytes} bytes are no file of keys; accepted: {PEM_BYTES_MAX} bytes")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not PEM: the line structure or the base64.
    #[error("not PEM ({0}); accepted: {ACCEPTED}")]
    NotPem(String),
    /// No section at all.
    #[error("no PEM section is in it; accepted: {ACCEPTED}")]
    Empty,
    /// A secret where its public half belongs.
    #[error(
        "section {section} is a private key ({label}): whoever signs the tokens keeps it, this server needs the public key \
         (openssl pkey -in KEY -pubout)"
    )]
    Private {
        /// Which section, from 1.
        section: usize,
        /// Its label.
        label: String,
    },
    /// A certificate: nothing here would judge its validity.
    #[error("section {section} is a certificate: give the public key in it (openssl x509 -in CERT -pubkey -noout)")]
    Certificate {
        /// Which section, from 1.
        section: usize,
    },
    /// Something else.
    #[error("section {section} is {label:?}; accepted: {ACCEPTED}")]
    Label {
        /// Which section, from 1.
        section: usize,
        /// Its label.
        label: String,
    },
    /// Not what the label says.
    #[error("section {section} is not a public key: its DER is malformed")]
    Der {
        /// Which section, from 1.
        section: usize,
    },
    /// A kind of key that none of the algorithms uses.
    #[error("section {section} is a key of another kind; accepted: {ACCEPTED}")]
    Kind {
        /// Which section, from 1.
        section: usize,
    },
    /// A key that is refused.
    #[error("section {section}: {error}")]
    Key {
        /// Which section, from 1.
        section: usize,
        /// Why.
        error: KeyError,
    },
    /// Too many of them.
    #[error(transparent)]
    Set(#[from] KeyError),
}

/// The keys of a PEM file, in its order, without ids.
///
/// # Errors
/// [`PemKeysError`], which names the section; a private key is refused even beside public ones.
pub fn keys_from_pem(text: &[u8]) -> Result<KeySet, PemKeysError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(PemKeysError::TooLong { bytes: text.len() });
    }
    let sections = pem::parse_many(text).map_err(|error| PemKeysError::NotPem(error.to_string()))?;
    if sections.is_empty() {
        return Err(PemKeysError::Empty);
    }
    let keys: Vec<Key> = sections
        .iter()
        .enumerate()
        .map(|(at, section)| key_of(at + 1, section.tag(), section.contents()))
        .collect::<Result<_, _>>()?;
    Ok(KeySet::new(keys)?)
}

fn key_of(section: usize, label: &str, der: &[u8]) -> Result<Key, PemKeysError> {
    let refused = |error| PemKeysError::Key { section, error };
    match label {
        "PUBLIC KEY" => spki(section, der),
        "RSA PUBLIC KEY" => rsa(section, der)?.map_err(refused),
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => Err(PemKeysError::Certificate { section }),
        label if label.ends_with("PRIVATE KEY") => Err(PemKeysError::Private { section, label: label.to_owned() }),
        label => Err(PemKeysError::Label { section, label: label.chars().take(64).collect() }),
    }
}

/// SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7; RFC 5480, section 2; RFC 8410, section 4).
fn spki(section: usize, der: &[u8]) -> Result<Key, PemKeysError> {
    let Ok(([], info)) = SubjectPublicKeyInfo::from_der(der) else { return Err(PemKeysError::Der { section }) };
    let bits = &info.subject_public_key;
    if bits.unused_bits != 0 {
        return Err(PemKeysError::Der { section });
    }
    let algorithm = &info.algorithm.algorithm;
    let key = if *algorithm == OID_PKCS1_RSAENCRYPTION {
        rsa(section, &bits.data)?
    } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref().and_then(|parameters| Oid::try_from(parameters).ok());
        if curve != Some(OID_EC_P256) {
            return Err(PemKeysError::Key { section, error: KeyError::Curve("the EC key is not of curve P-256") });
        }
        Key::es256(&bits.data)
    } else if *algorithm == OID_SIG_ED25519 {
        Key::ed25519(&bits.data)
    } else {
        return Err(PemKeysError::Kind { section });
    };
    key.map_err(|error| PemKeysError::Key { section, error })
}

/// RSAPublicKey (RFC 8017, appendix A.1.1).
fn rsa(section: usize, der: &[u8]) -> Result<Result<Key, KeyError>, PemKeysError> {
    let Ok(([], key)) = RSAPublicKey::from_der(der) else { return Err(PemKeysError::Der { section }) };
    // DER integers have a sign: a number without a leading zero bit would be negative.
    let negative = |number: &[u8]| number.first().is_none_or(|first| first & 0x80 != 0);
    if negative(key.modulus) || negative(key.exponent) {
        return Err(PemKeysError::Der { section });
    }
    Ok(Key::rs256(key.modulus, key.exponent))
}

#[cfg(test)]
#[path = "pem_keys_tests.rs"]
mod tests;
