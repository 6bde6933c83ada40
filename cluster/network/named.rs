//! Certificates that name their node, and the check that nobody goes by another name.
//!
//! A certificate that was issued for a join token carries `urn:vedfolnir:node:` and the node's id as a URI. One that
//! was made by hand or by other tooling names no node and may be used by any.

use std::path::Path;

use quinn::Connection;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::hello::PeerIdentity;
use super::tls::{self, TlsError};

const PREFIX: &str = "urn:vedfolnir:node:";

/// How a certificate names a node.
#[must_use]
pub fn node_uri(node: u64) -> String {
    format!("{PREFIX}{node:016x}")
}

/// The node that the certificate in a file was issued to; `None`: any node may use it.
///
/// # Errors
/// [`TlsError`]: it cannot be read.
pub fn issued_to(cert_file: &Path) -> Result<Option<u64>, TlsError> {
    let chain = tls::read_own_certificates(cert_file)?;
    match chain.first() {
        Some(own) => named_node(own).map_err(TlsError::Setup),
        None => Ok(None),
    }
}

/// Says so if the other end's certificate names another node than its Hello.
pub(super) fn conflict(connection: &Connection, peer: &PeerIdentity) -> Option<String> {
    let certificates = certificates(connection)?;
    match named_node(certificates.first()?) {
        Ok(None) => None,
        Ok(Some(named)) if named == peer.node_id => None,
        Ok(Some(named)) => Some(format!(
            "it says that it is node {:016x}, but its certificate was issued to node {named:016x}: \
             each node needs its own",
            peer.node_id
        )),
        Err(reason) => Some(reason),
    }
}

/// What the other end of the handshake showed; `None`: nothing.
pub(super) fn certificates(connection: &Connection) -> Option<Vec<CertificateDer<'static>>> {
    connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok().map(|chain| *chain)
}

pub(super) fn named_node(certificate: &CertificateDer<'_>) -> Result<Option<u64>, String> {
    let parsed =
        EndEntityCert::try_from(certificate).map_err(|error| format!("its certificate cannot be read: {error}"))?;
    for uri in parsed.valid_uri_names() {
        let Some(digits) = uri.strip_prefix(PREFIX) else { continue };
        return match u64::from_str_radix(digits, 16) {
            Ok(node) => Ok(Some(node)),
            Err(_) => Err("its certificate names a node by something that is no node id".to_owned()),
        };
    }
    Ok(None)
}
