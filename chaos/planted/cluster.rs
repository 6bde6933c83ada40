//! Planted bugs of the cluster and of the network between its nodes.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use vedfolnir_planted::{Bug, is};
use vedfolnir_state::{Command, Incarnation, LogPosition, NodeId, Response};

use crate::handle::{Notice, ProposeError, Ticket};
use crate::proposer::Proposer;
use crate::replica::Replica;

/// An entry was applied in this life.
pub(crate) fn applied(replica: &Replica, incarnation: Incarnation, index: u64, bytes: &[u8]) {
    if is(Bug::ApplyTwice) && incarnation.generation > 1 {
        replica.write(|state| drop(state.apply(index, bytes)));
    }
}

pub(crate) fn is_kept_back(notice: &Notice) -> bool {
    is(Bug::ResyncNotTold) && matches!(notice, Notice::Resync { .. })
}

pub(crate) fn keep_generation(generation: &mut u64) {
    if is(Bug::GenerationKept) {
        *generation = (*generation - 1).max(1);
    }
}

pub(crate) fn is_read_unconfirmed() -> bool {
    is(Bug::ReadUnconfirmed)
}

pub(crate) fn awaited(index: u64) -> u64 {
    if is(Bug::ReadTooEarly) { 0 } else { index }
}

/// A publish that is answered before it is committed anywhere.
pub(crate) fn answered_early(proposer: &Proposer, command: &Command) -> Option<Result<Ticket, ProposeError>> {
    if !is(Bug::AckBeforeCommit) || !matches!(command, Command::Publish(_)) {
        return None;
    }
    Some(proposer.propose(command.clone()).map(|_| {
        let (reply, receiver) = tokio::sync::oneshot::channel();
        // The receiver is in the next line.
        let _ = reply.send(Ok(Response::Published { position: LogPosition::default() }));
        Ticket { receiver }
    }))
}

pub(crate) fn silent(silent: bool) -> bool {
    silent && !is(Bug::NodeDownNever)
}

pub(crate) fn is_rewind_forgotten() -> bool {
    is(Bug::ProposalsNotResent)
}

/// Made from the node's settings but its data directory: the same after its disk was wiped.
pub(crate) fn node_id(drawn: NodeId) -> NodeId {
    if !is(Bug::WipedNodeKeepsId) {
        return drawn;
    }
    let mut hasher = DefaultHasher::new();
    let arguments: Vec<String> = std::env::args().collect();
    let followed = arguments.iter().zip(arguments.iter().skip(1));
    followed.filter(|(before, _)| *before != "--data-dir").for_each(|(_, argument)| argument.hash(&mut hasher));
    let settings = std::env::vars().filter(|(name, _)| name.starts_with("WEBSOCKET_") && name != "WEBSOCKET_DATA_DIR");
    settings.collect::<BTreeSet<_>>().hash(&mut hasher);
    (hasher.finish() >> 1).max(1)
}

pub(crate) fn is_cluster_unchecked() -> bool {
    is(Bug::ClusterIdUnchecked)
}

/// What came of a check of a peer's certificate.
pub(crate) fn in_date(checked: Result<(), rustls::Error>) -> Result<(), rustls::Error> {
    checked.or_else(|error| if is_forgiven(&error) { Ok(()) } else { Err(error) })
}

fn is_forgiven(error: &rustls::Error) -> bool {
    let expired = matches!(
        error,
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })
    );
    expired && is(Bug::ExpiredCertificateAccepted)
}

/// The same for certificates of those who call.
pub(crate) fn clients_in_date(verifier: Arc<dyn ClientCertVerifier>) -> Arc<dyn ClientCertVerifier> {
    Arc::new(Forgiving(verifier))
}

#[derive(Debug)]
struct Forgiving(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Forgiving {
    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        in_date(self.0.verify_client_cert(end_entity, intermediates, now).map(drop))
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
