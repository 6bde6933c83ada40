//! An authority for one cluster and certificates for its nodes, as files.
//!
//! ```text
//!   DIR/ca.pem       on every node (--tls-ca)        DIR/NAME/cert.pem   on that node (--tls-cert)
//!   DIR/ca-key.pem   0600, on no node                DIR/NAME/key.pem    0600, on that node (--tls-key)
//! ```
//!
//! What is there already stays: a second run adds the nodes that are missing.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;

use crate::network::SERVER_NAME;

pub(crate) const CA_CERT_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";
pub(crate) const CERT_FILE: &str = "cert.pem";
pub(crate) const KEY_FILE: &str = "key.pem";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// An authority is valid for ten years.
const AUTHORITY_DAYS: u32 = 3650;
/// A node's certificate is valid for two years.
pub(crate) const NODE_DAYS: u32 = 730;
/// Certificates begin a day back: the nodes' clocks need not agree.
const BACK_DAYS: u32 = 1;

/// Why certificates cannot be made or written; one line with the file, the reason and the fix.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file or directory that cannot be read or written.
    #[error("{path}: {reason}; the directory must be readable and writable")]
    File {
        /// The file.
        path: String,
        /// The system's reason.
        reason: io::Error,
    },
    /// One of a pair of files is missing.
    #[error("{missing} is missing beside {present}; put it back, or move {present} away")]
    HalfPair {
        /// The file that is not there.
        missing: String,
        /// The file that is.
        present: String,
    },
    /// The authority's files do not fit, or are none.
    #[error("{path}: not a usable authority ({reason}); give another directory, or move its files away")]
    Authority {
        /// The certificate's file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A name that cannot be in a certificate or name a file.
    #[error("node {name:?}: {reason}; give host names or IP addresses")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The cryptography itself refused.
    #[error("a certificate cannot be made: {0}")]
    Crypto(#[from] rcgen::Error),
    /// The clock says a time before 1970.
    #[error("the clock of this machine is before 1970; set it")]
    Clock,
}

/// A node to make a certificate for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNames {
    /// What its files are called.
    pub name: String,
    /// Host names and IP addresses that peers reach it by.
    pub names: Vec<String>,
}

impl NodeNames {
    /// `HOST[,HOST|IP…]`: the first names the files, all are put into the certificate.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let names: Vec<String> =
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
        Self { name: names.first().cloned().unwrap_or_default(), names }
    }
}

/// Where a node's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The node's certificate.
    pub cert: PathBuf,
    /// The node's private key.
    pub key: PathBuf,
}

/// The authority of one cluster.
#[derive(Clone)]
pub struct Authority {
    /// Its certificate.
    pub cert_pem: String,
    /// Its private key.
    pub key_pem: String,
}

/// A node's certificate.
#[derive(Clone)]
pub struct NodeCertificate {
    /// The certificate.
    pub cert_pem: String,
    /// Its private key.
    pub key_pem: String,
}

/// Makes an authority.
///
/// # Errors
/// [`CertificateError::Crypto`], [`CertificateError::Clock`].
pub fn create_authority() -> Result<Authority, CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = valid_for(CertificateParams::default(), AUTHORITY_DAYS)?;
    params.distinguished_name.push(DnType::CommonName, "Vedfolnir cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok(Authority { cert_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

impl Authority {
    /// Reads `ca.pem` and `ca-key.pem`; `None` if neither is there.
    ///
    /// # Errors
    /// [`CertificateError::HalfPair`], [`CertificateError::Authority`], [`CertificateError::File`].
    pub fn load(directory: &Path) -> Result<Option<Self>, CertificateError> {
        let (cert, key) = (directory.join(CA_CERT_FILE), directory.join(CA_KEY_FILE));
        if !both_there(&cert, &key)? {
            return Ok(None);
        }
        let authority = Self { cert_pem: read(&cert)?, key_pem: read(&key)? };
        let unusable = |reason: String| CertificateError::Authority { path: cert.display().to_string(), reason };
        let issuer = authority.issuer().map_err(|error| unusable(error.to_string()))?;
        let der = CertificateDer::from_pem_slice(authority.cert_pem.as_bytes())
            .map_err(|error| unusable(format!("{error:?}")))?;
        let public_key =
            ParsedCertificate::try_from(&der).map_err(|error| unusable(error.to_string()))?.subject_public_key_info();
        if public_key.as_ref() != issuer.key().subject_public_key_info() {
            return Err(unusable(format!("{} is not its key", key.display())));
        }
        Ok(Some(authority))
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
        Issuer::from_ca_cert_pem(&self.cert_pem, KeyPair::from_pem(&self.key_pem)?)
    }
}

/// Issues a certificate for a node, for its names and for the name that peers ask every node for.
///
/// # Errors
/// [`CertificateError::Name`] for what is neither a host name nor an IP address, [`CertificateError::Crypto`].
pub fn issue(authority: &Authority, names: &[String]) -> Result<NodeCertificate, CertificateError> {
    let mut all = vec![SERVER_NAME.to_owned()];
    for name in names {
        if name.is_empty() {
            return Err(CertificateError::Name { name: name.clone(), reason: "empty".to_owned() });
        }
        // An IPv6 address may be written in brackets, as in HOST:PORT.
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).to_owned();
        if !all.contains(&name) {
            all.push(name);
        }
    }
    let params = CertificateParams::new(all)
        .map_err(|error| CertificateError::Name { name: names.join(","), reason: error.to_string() })?;
    let mut params = valid_for(params, NODE_DAYS)?;
    params.distinguished_name.push(DnType::CommonName, names.first().map_or(SERVER_NAME, String::as_str));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate: Certificate = params.signed_by(&key, &authority.issuer()?)?;
    Ok(NodeCertificate { cert_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

/// Writes an authority and a certificate for each node, unless they are there already; keys get mode 0600.
///
/// # Errors
/// [`CertificateError`]; files written before the error stay, and the next run goes on from there.
pub fn write_certificates(directory: &Path, nodes: &[NodeNames]) -> Result<Vec<NodeFiles>, CertificateError> {
    for node in nodes {
        check_file_name(&node.name)?;
    }
    create_directory(directory)?;
    let authority = match Authority::load(directory)? {
        Some(authority) => authority,
        None => {
            let made = create_authority()?;
            write_new(&directory.join(CA_KEY_FILE), &made.key_pem, 0o600)?;
            write_new(&directory.join(CA_CERT_FILE), &made.cert_pem, 0o644)?;
            made
        }
    };
    let mut written = Vec::with_capacity(nodes.len());
    for node in nodes {
        let home = directory.join(&node.name);
        let files =
            NodeFiles { ca: directory.join(CA_CERT_FILE), cert: home.join(CERT_FILE), key: home.join(KEY_FILE) };
        if !both_there(&files.cert, &files.key)? {
            let made = issue(&authority, &node.names)?;
            create_directory(&home)?;
            write_new(&files.key, &made.key_pem, 0o600)?;
            write_new(&files.cert, &made.cert_pem, 0o644)?;
        }
        written.push(files);
    }
    Ok(written)
}

fn check_file_name(name: &str) -> Result<(), CertificateError> {
    let reason = if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        "it cannot be the name of a file"
    } else if [CA_CERT_FILE, CA_KEY_FILE].contains(&name) {
        "the authority's file is called so"
    } else {
        return Ok(());
    };
    Err(CertificateError::Name { name: name.to_owned(), reason: reason.to_owned() })
}

pub(crate) fn valid_for(mut params: CertificateParams, days: u32) -> Result<CertificateParams, CertificateError> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| CertificateError::Clock)?;
    let now = date_time_ymd(1970, 1, 1) + since_epoch;
    params.not_before = now - DAY * BACK_DAYS;
    params.not_after = now + DAY * days;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}

/// Whether both files of a pair are there; one alone is refused, it could be the only copy of a key.
fn both_there(cert: &Path, key: &Path) -> Result<bool, CertificateError> {
    let half = |missing: &Path, present: &Path| CertificateError::HalfPair {
        missing: missing.display().to_string(),
        present: present.display().to_string(),
    };
    match (exists(cert)?, exists(key)?) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        (true, false) => Err(half(key, cert)),
        (false, true) => Err(half(cert, key)),
    }
}

fn exists(path: &Path) -> Result<bool, CertificateError> {
    path.try_exists().map_err(|reason| failed(path, reason))
}

fn read(path: &Path) -> Result<String, CertificateError> {
    fs::read_to_string(path).map_err(|reason| failed(path, reason))
}

pub(crate) fn create_directory(path: &Path) -> Result<(), CertificateError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|reason| failed(path, reason))
}

/// Never overwrites, and is whole or not there: written beside and then linked into place.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    let beside = beside(path);
    let written = open_private(&beside, mode)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&beside, path));
    let removed = fs::remove_file(&beside);
    written.and(removed).map_err(|reason| failed(path, reason))
}

fn open_private(path: &Path, mode: u32) -> io::Result<fs::File> {
    // A leftover of a run that was killed; never a file that anybody uses.
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn failed(path: &Path, reason: io::Error) -> CertificateError {
    CertificateError::File { path: path.display().to_string(), reason }
}

#[cfg(test)]
#[path = "network/certificates_tests.rs"]
mod tests;
