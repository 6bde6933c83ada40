//! How a node without certificates gets its own: it shows a join token to a node of the pinned authority.
//!
//! ```text
//!   new node ── node id, secret, public key ──► any member ──► the leader commits that the token is used
//!                                                   │ has the authority's key: signs
//!                                                   └ has not: hands the request (not the secret) to one that has
//!   new node ◄── its certificate, the authorities ──┘      kept in DATA_DIR/tls, and used from then on
//! ```
//!
//! The key is made and kept first and the token is used by (node, key): an answer that was lost is simply asked for
//! again.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use serde_bytes::ByteBuf;
use vedfolnir_state::{NodeId, TokenHash, limits};

use crate::certificates::{CA_CERT_FILE, CERT_FILE, CertificateError, KEY_FILE, create_directory, write_new};
use crate::config::{ClusterConfig, ClusterTls};
use crate::handle::{Inner, StartError};
use crate::identity::random_bytes;
use crate::join_token::{JoinToken, sha256, token_hash};
use crate::membership::{self, MembershipError};
use crate::network::{self, EnrolError, PeerIdentity};
use crate::remove::is_member;
use crate::signer::{CheckedRequest, REQUEST_BYTES_MAX, request_certificate};
use crate::wire::{self, EnrolReply, EnrolRequest, MembershipRequest, SignRequest, kind};

/// The data directory's folder of what was issued.
const DIRECTORY: &str = "tls";
/// One attempt at one address.
const ASK_TIMEOUT: Duration = Duration::from_secs(12);
/// Between two rounds over the addresses.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// While nothing happens, what is awaited is said this often.
const SAID_EVERY: Duration = Duration::from_secs(5);
/// Committing a token, or its use, may take this long.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Another member signs within this time.
const SIGN_TIMEOUT: Duration = Duration::from_secs(6);

const JOIN_TOKEN: &str = "--join-token (WEBSOCKET_CLUSTER_JOIN_TOKEN)";

/// Where the certificate that was issued to a node is kept.
#[must_use]
pub fn issued_certificate(data_dir: &Path) -> PathBuf {
    data_dir.join(DIRECTORY).join(CERT_FILE)
}

fn files_in(home: &Path) -> ClusterTls {
    ClusterTls::Mutual {
        ca_file: home.join(CA_CERT_FILE),
        cert_file: home.join(CERT_FILE),
        key_file: home.join(KEY_FILE),
    }
}

/// What was issued to the node, if something was.
pub(crate) fn issued_files(data_dir: &Path) -> Option<ClusterTls> {
    issued_certificate(data_dir).exists().then(|| files_in(&data_dir.join(DIRECTORY)))
}

/// The certificates to start with: those that are configured or in the data directory, or else new ones for the token.
pub(crate) async fn settle(config: &ClusterConfig, node_id: NodeId) -> Result<ClusterTls, StartError> {
    let ClusterTls::DataDir { token } = &config.tls else { return Ok(config.tls.clone()) };
    if let Some(files) = issued_files(&config.data_dir) {
        return Ok(files);
    }
    let home = config.data_dir.join(DIRECTORY);
    let files = files_in(&home);
    let Some(token) = token else {
        return Err(StartError::Refused(format!(
            "there is no certificate in {}: give {JOIN_TOKEN}, or --tls-ca, --tls-cert and --tls-key",
            home.display()
        )));
    };
    let refused = |error: CertificateError| StartError::Refused(error.to_string());
    create_directory(&home).map_err(refused)?;
    let key = own_key(&home.join(KEY_FILE)).map_err(refused)?;
    let request =
        EnrolRequest { node_id, secret: *token.secret(), request: request_certificate(&key).map_err(refused)? };
    let body = wire::encode("certificate request", &request).map_err(|error| StartError::Refused(error.to_string()))?;
    let (certificate, authorities) = ask_around(config, token, &body).await?;
    let pinned = authorities.iter().any(|authority| sha256(authority) == *token.authority());
    if !pinned {
        return Err(StartError::Refused(
            "the cluster's answer does not hold the authority of the join token".to_owned(),
        ));
    }
    // The certificate last: what is there without it is made anew.
    let ca_file = home.join(CA_CERT_FILE);
    remove_leftover(&ca_file).map_err(refused)?;
    let bundle: String = authorities.iter().map(|authority| pem(authority)).collect();
    write_new(&ca_file, &bundle, 0o600).map_err(refused)?;
    write_new(&home.join(CERT_FILE), &pem(&certificate), 0o600).map_err(refused)?;
    tracing::info!(node = format!("{node_id:016x}"), directory = %home.display(), "the cluster issued this node's certificate");
    Ok(files)
}

fn own_key(path: &Path) -> Result<KeyPair, CertificateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(KeyPair::from_pem(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate()?;
            write_new(path, &key.serialize_pem(), 0o600)?;
            Ok(key)
        }
        Err(reason) => Err(CertificateError::File { path: path.display().to_string(), reason }),
    }
}

fn remove_leftover(path: &Path) -> Result<(), CertificateError> {
    match fs::remove_file(path) {
        Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
            Err(CertificateError::File { path: path.display().to_string(), reason })
        }
        _ => Ok(()),
    }
}

/// Asks the listed addresses until one answers for good.
async fn ask_around(
    config: &ClusterConfig,
    token: &JoinToken,
    body: &[u8],
) -> Result<(ByteBuf, Vec<ByteBuf>), StartError> {
    let mut said_at = tokio::time::Instant::now();
    loop {
        let mut silent = Vec::new();
        let mut foreign = None;
        for addr in &config.bootstrap {
            match network::enrol(config.bind.ip(), addr, *token.authority(), body, ASK_TIMEOUT).await {
                Ok(answer) => match wire::decode::<EnrolReply>("certificate answer", &answer) {
                    Ok(EnrolReply::Certificate { certificate, authorities }) => return Ok((certificate, authorities)),
                    Ok(EnrolReply::Refused(reason)) => {
                        return Err(StartError::Refused(format!("{JOIN_TOKEN}: {addr} refused it: {reason}")));
                    }
                    Ok(EnrolReply::NotNow(reason)) => silent.push(format!("{addr} ({reason})")),
                    Err(error) => silent.push(format!("{addr} ({error})")),
                },
                Err(error @ EnrolError::Foreign { .. }) => foreign = Some(error),
                Err(error) => silent.push(error.to_string()),
            }
        }
        if let Some(error) = foreign {
            return Err(StartError::Refused(format!(
                "{JOIN_TOKEN} or --bootstrap (WEBSOCKET_CLUSTER_BOOTSTRAP): {error}; \
                 use a token and addresses of the same cluster"
            )));
        }
        if said_at.elapsed() > SAID_EVERY {
            said_at = tokio::time::Instant::now();
            tracing::warn!("no node of --bootstrap issues a certificate yet: {}", silent.join(", "));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Commits a new join token, good for one node.
pub(crate) async fn create_token(node: &Arc<Inner>, ttl: Duration) -> Result<JoinToken, MembershipError> {
    let refused = |reason: &str| MembershipError::Refused(reason.to_owned());
    let Some(authority) = node.authority else {
        return Err(refused(
            "this cluster has no certificates, so a node joins it without a token; \
             give its nodes --tls-ca, --tls-cert and --tls-key (make them with `vedfolnir cert init`)",
        ));
    };
    if node.signer.is_none() && signers(node).is_empty() {
        return Err(refused(
            "no live node can sign a certificate: start one with --tls-ca-key (WEBSOCKET_CLUSTER_TLS_CA_KEY_FILE)",
        ));
    }
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    if ttl_ms == 0 || ttl_ms > limits::JOIN_TOKEN_TTL_MS_MAX {
        return Err(refused("a join token is good for 1 ms to 30 days"));
    }
    let secret = random_bytes().map_err(|error| MembershipError::Refused(error.to_string()))?;
    let token = token_hash(&secret);
    membership::ask(node, MembershipRequest::AddToken { token, ttl_ms }, COMMIT_TIMEOUT).await?;
    Ok(JoinToken::new(authority, secret))
}

/// A stranger asks for a certificate.
pub(crate) async fn answer(node: Option<Arc<Inner>>, from: SocketAddr, body: &[u8]) -> Bytes {
    let reply = match (node, wire::decode::<EnrolRequest>("certificate request", body)) {
        (_, Err(error)) => EnrolReply::Refused(error.to_string()),
        (None, _) => EnrolReply::NotNow("the node is starting or stopping".to_owned()),
        (Some(node), Ok(request)) => {
            let token = token_hash(&request.secret);
            let request = SignRequest { node_id: request.node_id, token, request: request.request };
            let reply = issue(&node, &request).await;
            let asks = format!("{:016x}", request.node_id);
            let count = match &reply {
                EnrolReply::Certificate { .. } => &node.metrics.certificates_issued_total,
                EnrolReply::Refused(_) => &node.metrics.certificates_refused_total,
                EnrolReply::NotNow(_) => &node.metrics.certificates_postponed_total,
            };
            count.fetch_add(1, Relaxed);
            match &reply {
                EnrolReply::Certificate { .. } => tracing::info!(%from, node = asks, "a certificate was issued"),
                EnrolReply::Refused(reason) => tracing::warn!(%from, node = asks, reason, "no certificate was issued"),
                EnrolReply::NotNow(reason) => {
                    tracing::info!(%from, node = asks, reason, "no certificate was issued yet")
                }
            }
            reply
        }
    };
    // Nothing in it that MessagePack cannot hold; an empty answer would be refused by its reader.
    wire::encode("certificate answer", &reply).unwrap_or_default()
}

/// A member that cannot sign hands a request on.
pub(crate) async fn answer_sign(
    node: &Arc<Inner>,
    from: &PeerIdentity,
    request: &SignRequest,
) -> Result<EnrolReply, String> {
    if !is_member(node, from.node_id) {
        return Err(format!("node {:016x} is no member", from.node_id));
    }
    Ok(if node.signer.is_some() {
        sign(node, request).await
    } else {
        EnrolReply::NotNow("it has no key of the authority".to_owned())
    })
}

async fn issue(node: &Arc<Inner>, request: &SignRequest) -> EnrolReply {
    if request.request.len() > REQUEST_BYTES_MAX {
        return EnrolReply::Refused(format!("a certificate request of more than {REQUEST_BYTES_MAX} bytes"));
    }
    if node.signer.is_some() {
        return sign(node, request).await;
    }
    let body = match wire::encode("sign request", request) {
        Ok(body) => body,
        Err(error) => return EnrolReply::Refused(error.to_string()),
    };
    let mut last = "no live node has --tls-ca-key (WEBSOCKET_CLUSTER_TLS_CA_KEY_FILE)".to_owned();
    for (id, addr) in signers(node) {
        let reply = node.endpoint.peer(&addr, Some(id)).request(kind::SIGN, body.clone(), SIGN_TIMEOUT).await;
        match reply.map(|reply| wire::decode::<EnrolReply>("sign answer", &reply)) {
            Ok(Ok(EnrolReply::NotNow(reason))) => last = reason,
            Ok(Ok(reply)) => return reply,
            Ok(Err(error)) => last = error.to_string(),
            Err(error) => last = error.to_string(),
        }
    }
    EnrolReply::NotNow(last)
}

/// Has the token used, then signs.
async fn sign(node: &Arc<Inner>, request: &SignRequest) -> EnrolReply {
    let Some(signer) = &node.signer else { return EnrolReply::NotNow("it has no key of the authority".to_owned()) };
    let checked = match CheckedRequest::read(&request.request) {
        Ok(checked) => checked,
        Err(reason) => return EnrolReply::Refused(reason),
    };
    match use_token(node, request.token, request.node_id, &checked).await {
        Ok(()) => {}
        Err(MembershipError::Refused(reason)) => return EnrolReply::Refused(reason),
        Err(error) => return EnrolReply::NotNow(error.to_string()),
    }
    match signer.sign(&checked, request.node_id) {
        Ok(certificate) => EnrolReply::Certificate {
            certificate: ByteBuf::from(certificate.to_vec()),
            authorities: node.authorities.iter().map(|authority| ByteBuf::from(authority.to_vec())).collect(),
        },
        Err(error) => EnrolReply::NotNow(error.to_string()),
    }
}

async fn use_token(
    node: &Arc<Inner>,
    token: TokenHash,
    by: NodeId,
    request: &CheckedRequest,
) -> Result<(), MembershipError> {
    let request = MembershipRequest::UseToken { token, node: by, key: request.key };
    membership::ask(node, request, COMMIT_TIMEOUT).await.map(drop)
}

/// Live members that said that they can sign.
fn signers(node: &Inner) -> Vec<(NodeId, String)> {
    let members = node.other_members();
    node.replica.read(|state| {
        let signs = |id: &NodeId| state.node_info(*id).is_some_and(|(live, info)| live && info.signs);
        members.into_iter().filter(|(id, _)| signs(id)).collect()
    })
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(CertificateDer::from(der));
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    // Base64 is ASCII: every byte is a character.
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
