//! Keys that verify tokens: each is bound to one algorithm, none is ever shown.

use std::fmt;
use std::sync::Arc;

use ring::{hmac, signature};

use super::jwt::Algorithm;

/// Bytes of an HS256 secret at least (RFC 7518, section 3.2: as long as the hash).
pub const SECRET_BYTES_MIN: usize = 32;
/// Bytes of an HS256 secret at most.
pub const SECRET_BYTES_MAX: usize = 4 << 10;
/// Bits of an RSA modulus at least and at most.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Keys in a set.
pub const KEYS_MAX: usize = 64;
/// Bytes of a key's id.
pub const KID_BYTES_MAX: usize = 256;

/// Why a key is refused. Never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A secret that can be guessed.
    #[error("the secret has {bytes} bytes; accepted: {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes")]
    SecretLength {
        /// Its length.
        bytes: usize,
    },
    /// A published key as a shared secret: whoever has it could sign.
    #[error("the secret is a PEM file: a key pair's public key is given as a key file, not as a shared secret")]
    SecretIsPem,
    /// Too short to be safe or too long to be quick.
    #[error("the RSA key has {bits} bits; accepted: {} to {}", RSA_BITS.start(), RSA_BITS.end())]
    RsaBits {
        /// The modulus's.
        bits: usize,
    },
    /// An exponent that no honest key has.
    #[error("the RSA key's exponent is refused; accepted: odd, from 3 to 2^33-1")]
    RsaExponent,
    /// Another curve, or a part of the wrong length.
    #[error("{0}")]
    Curve(&'static str),
    /// An id that is too long.
    #[error("the key's id (kid) has {bytes} bytes; accepted: 1 to {KID_BYTES_MAX}")]
    KidLength {
        /// Its length.
        bytes: usize,
    },
    /// Too many of them.
    #[error("{count} keys are too many; accepted: {KEYS_MAX}")]
    TooMany {
        /// How many there were.
        count: usize,
    },
}

/// A key that verifies.
///
/// Invariants: what the constructors accept; the algorithm follows from the kind of key, never from a token.
pub struct Key {
    kid: Option<Box<str>>,
    material: Material,
}

enum Material {
    Hmac(hmac::Key),
    Rsa {
        modulus: Box<[u8]>,
        exponent: Box<[u8]>,
    },
    /// Uncompressed: `04 ‖ x ‖ y`.
    P256([u8; 65]),
    Ed25519([u8; 32]),
}

impl Key {
    /// A shared secret for HS256.
    ///
    /// # Errors
    /// [`KeyError`] for one that is too short, too long, or a PEM file.
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError::SecretIsPem);
        }
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
            return Err(KeyError::SecretLength { bytes: secret.len() });
        }
        Ok(Self::of(Material::Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// An RSA public key for RS256: big-endian modulus and exponent.
    ///
    /// # Errors
    /// [`KeyError`] for a modulus of fewer or more than [`RSA_BITS`], or an even, tiny or huge exponent.
    pub fn rs256(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::RsaBits { bits });
        }
        let value = exponent.iter().take(6).fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        if exponent.len() > 5 || !(3..1 << 33).contains(&value) || value % 2 == 0 {
            return Err(KeyError::RsaExponent);
        }
        Ok(Self::of(Material::Rsa { modulus: modulus.into(), exponent: exponent.into() }))
    }

    /// A P-256 public key for ES256, uncompressed (`04 ‖ x ‖ y`). A point that is not on the curve verifies nothing.
    ///
    /// # Errors
    /// [`KeyError::Curve`] for another form.
    pub fn es256(point: &[u8]) -> Result<Self, KeyError> {
        match <[u8; 65]>::try_from(point) {
            Ok(point) if point[0] == 4 => Ok(Self::of(Material::P256(point))),
            _ => Err(KeyError::Curve("the EC key is not an uncompressed point of P-256")),
        }
    }

    /// An Ed25519 public key.
    ///
    /// # Errors
    /// [`KeyError::Curve`] for another length.
    pub fn ed25519(public: &[u8]) -> Result<Self, KeyError> {
        let public = public.try_into().map_err(|_| KeyError::Curve("the Ed25519 key does not have 32 bytes"))?;
        Ok(Self::of(Material::Ed25519(public)))
    }

    const fn of(material: Material) -> Self {
        Self { kid: None, material }
    }

    /// The same key under an id.
    ///
    /// # Errors
    /// [`KeyError::KidLength`].
    pub fn with_kid(mut self, kid: &str) -> Result<Self, KeyError> {
        if kid.is_empty() || kid.len() > KID_BYTES_MAX {
            return Err(KeyError::KidLength { bytes: kid.len() });
        }
        self.kid = Some(kid.into());
        Ok(self)
    }

    /// Its id.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm that it is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Hmac(_) => Algorithm::Hs256,
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether `signed` bears this key's signature; a MAC is compared in constant time.
    pub(super) fn verifies(&self, signed: &[u8], tag: &[u8]) -> bool {
        match &self.material {
            Material::Hmac(key) => hmac::verify(key, signed, tag).is_ok(),
            Material::Rsa { modulus, exponent } => signature::RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, tag)
                .is_ok(),
            Material::P256(point) => signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, tag)
                .is_ok(),
            Material::Ed25519(public) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, public).verify(signed, tag).is_ok()
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

/// Keys, [`KEYS_MAX`] at most; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
}

impl KeySet {
    /// A set of these.
    ///
    /// # Errors
    /// [`KeyError::TooMany`].
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        Self::bounded(keys.into_iter().map(Arc::new).collect())
    }

    /// The keys of both.
    ///
    /// # Errors
    /// [`KeyError::TooMany`].
    pub fn merged(&self, other: &Self) -> Result<Self, KeyError> {
        Self::bounded(self.keys.iter().chain(&other.keys).cloned().collect())
    }

    fn bounded(keys: Vec<Arc<Key>>) -> Result<Self, KeyError> {
        if keys.len() > KEYS_MAX { Err(KeyError::TooMany { count: keys.len() }) } else { Ok(Self { keys }) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none: then every token is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(AsRef::as_ref)
    }

    /// The keys that a token of this algorithm and id may be signed with: those of the same id first, then those that
    /// have none. A token without an id fits every key of its algorithm.
    pub(super) fn candidates<'a>(
        &'a self,
        algorithm: Algorithm,
        kid: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Key> {
        let of_algorithm = move || self.iter().filter(move |key| key.algorithm() == algorithm);
        let named = of_algorithm().filter(move |key| kid.is_none() || key.kid() == kid);
        let nameless = of_algorithm().filter(move |key| kid.is_some() && key.kid().is_none());
        named.chain(nameless)
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
