//! Certificates between nodes that are valid for as long as a scenario wants: `vedfolnir cert init` makes them for two years.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::InjectError;

/// The name that each node asks its peers for.
const SERVER_NAME: &str = "node.vedfolnir";
/// Clocks need not agree, and some are set wrong on purpose.
const BACK: Duration = Duration::from_secs(2 * 86_400);
const AUTHORITY: Duration = Duration::from_secs(30 * 86_400);

/// An authority for one cluster, in a directory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
}

/// A node's files, for `--tls-ca`, `--tls-cert` and `--tls-key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The node's.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one and writes its certificate into `directory`, which is created; its key stays in memory.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn make(directory: &Path) -> Result<Self, InjectError> {
        let key = KeyPair::generate()?;
        let mut params = valid_until(CertificateParams::default(), SystemTime::now() + AUTHORITY);
        params.distinguished_name.push(DnType::CommonName, "Chaos cluster authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        fs::create_dir_all(directory).map_err(InjectError::file(directory))?;
        put(&directory.join("ca.pem"), &params.self_signed(&key)?.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), directory: directory.to_owned() })
    }

    /// Issues a certificate to the node `name` at `address`, good until `until`, in place of any that it had.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn issue(&self, name: &str, address: IpAddr, until: SystemTime) -> Result<NodeFiles, InjectError> {
        let names = vec![SERVER_NAME.to_owned(), address.to_string()];
        let mut params = valid_until(CertificateParams::new(names)?, until);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let home = self.directory.join(name);
        fs::create_dir_all(&home).map_err(InjectError::file(&home))?;
        let files =
            NodeFiles { ca: self.directory.join("ca.pem"), cert: home.join("cert.pem"), key: home.join("key.pem") };
        put(&files.key, &key.serialize_pem())?;
        put(&files.cert, &certificate.pem())?;
        Ok(files)
    }
}

fn valid_until(mut params: CertificateParams, until: SystemTime) -> CertificateParams {
    params.not_before = (SystemTime::now() - BACK).into();
    params.not_after = until.into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

/// Whole or not there, for its owner only.
fn put(path: &Path, text: &str) -> Result<(), InjectError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    };
    write().map_err(InjectError::file(path))
}
