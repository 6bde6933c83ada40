//! The authority's key on a node that was given it: signs the certificates of nodes that come with a join token.

use std::path::Path;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use vedfolnir_state::{KeyHash, NodeId};

use crate::certificates::{CertificateError, NODE_DAYS, valid_for};
use crate::handle::StartError;
use crate::join_token::sha256;
use crate::network::{SERVER_NAME, node_uri};

const CA_KEY: &str = "--tls-ca-key (WEBSOCKET_CLUSTER_TLS_CA_KEY_FILE)";
/// A request for a certificate is no larger; it holds a public key and a signature.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 << 10;

/// A request for a certificate whose signature was checked. Only its public key counts: what the certificate says is
/// decided by the signer.
pub(crate) struct CheckedRequest {
    request: CertificateSigningRequestParams,
    pub(crate) key: KeyHash,
}

impl CheckedRequest {
    pub(crate) fn read(der: &[u8]) -> Result<Self, String> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(format!(
                "a certificate request of {} bytes; at most {REQUEST_BYTES_MAX} are accepted",
                der.len()
            ));
        }
        let request = CertificateSigningRequestParams::from_der(&der.into())
            .map_err(|error| format!("the certificate request is not acceptable: {error}"))?;
        let key = KeyHash(sha256(request.public_key.der_bytes()));
        Ok(Self { request, key })
    }
}

/// A request for a certificate of this key; it names nobody, the signer does.
pub(crate) fn request_certificate(key: &KeyPair) -> Result<Vec<u8>, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// The authority's key.
pub(crate) struct Signer {
    issuer: Issuer<'static, KeyPair>,
}

impl Signer {
    /// Reads the key and finds its certificate among the authorities.
    pub(crate) fn load(authorities: &[CertificateDer<'static>], key_file: &Path) -> Result<Self, StartError> {
        let refused = |reason: String| {
            StartError::Refused(format!(
                "{CA_KEY} = {}: {reason}; give the key beside the ca.pem of --tls-ca (`vedfolnir cert init` calls it \
                 ca-key.pem), or leave the setting away: the node then does not sign certificates",
                key_file.display()
            ))
        };
        let text = std::fs::read_to_string(key_file).map_err(|error| refused(error.to_string()))?;
        let key = KeyPair::from_pem(&text).map_err(|error| refused(format!("no usable private key: {error}")))?;
        warn_if_exposed(key_file);
        let public_key = key.subject_public_key_info();
        let own = authorities.iter().find(|authority| {
            ParsedCertificate::try_from(*authority)
                .is_ok_and(|parsed| parsed.subject_public_key_info().as_ref() == public_key)
        });
        let own = own.ok_or_else(|| refused("it is not the key of the authority".to_owned()))?;
        let issuer = Issuer::from_ca_cert_der(own, key)
            .map_err(|error| refused(format!("the authority's certificate cannot be used: {error}")))?;
        Ok(Self { issuer })
    }

    /// A certificate for the requested key that names the node.
    pub(crate) fn sign(
        &self,
        request: &CheckedRequest,
        node: NodeId,
    ) -> Result<CertificateDer<'static>, CertificateError> {
        let mut params = valid_for(CertificateParams::new(vec![SERVER_NAME.to_owned()])?, NODE_DAYS)?;
        params.subject_alt_names.push(SanType::URI(node_uri(node).as_str().try_into()?));
        params.distinguished_name.push(DnType::CommonName, format!("vedfolnir node {node:016x}"));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let request = CertificateSigningRequestParams { params, public_key: request.request.public_key.clone() };
        Ok(request.signed_by(&self.issuer)?.der().clone())
    }
}

/// All certificates of a PEM file that was checked already.
pub(crate) fn read_authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| StartError::Refused(format!("{}: the authority cannot be read: {error:?}", file.display())))
}

#[cfg(unix)]
fn warn_if_exposed(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(metadata) = path.metadata()
        && metadata.permissions().mode() & 0o077 != 0
    {
        tracing::warn!("{CA_KEY} = {}: other users can read the authority's key; chmod 600 it", path.display());
    }
}

#[cfg(not(unix))]
fn warn_if_exposed(_path: &Path) {}
