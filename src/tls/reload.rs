//! A listener's TLS: loaded once, reloaded from the same files at any time, never left with less than it had.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::certificate::{CertificateFiles, LoadedCertificate, load_certificate};
use super::client_auth::{ClientAuth, ClientAuthorities, load_client_authorities};
use super::finding::{Fault, FileRole, Finding, Severity, Strictness};
use super::inspect::{CertificateReport, show_time};
use super::resolver::{CertificateResolver, CertificateSet, SetError};
use super::server_config::{BuildError, TlsSettings, build, suites_fit};
use super::watch::{Stamp, Watch};

/// The files of a listener.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificates with their keys; the first is the default.
    pub pairs: Vec<CertificateFiles>,
    /// The authorities of client certificates; examined even if clients are not asked for any.
    pub client_ca: Option<PathBuf>,
    /// How much is tolerated.
    pub strictness: Strictness,
}

impl TlsFiles {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.pairs.iter().flat_map(CertificateFiles::paths).chain(self.client_ca.as_deref())
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.paths().map(Stamp::of).collect()
    }
}

/// Why files or settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The files have faults; at least one finding is an error.
    #[error("{}", errors(.0))]
    Files(Vec<Finding>),
    /// No certificate, or too many.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] BuildError),
}

fn errors(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A reload that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The files hold what is in use.
    Unchanged,
    /// New handshakes show the new certificates.
    Changed {
        /// What is doubtful about them.
        warnings: Vec<Finding>,
    },
}

/// What a listener's TLS is, for `status` and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsStatus {
    /// The lowest version, `TLSv1_2` or `TLSv1_3`.
    pub minimum_version: &'static str,
    /// The suites as OpenSSL spells them, TLS 1.3 first.
    pub suites: Vec<&'static str>,
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// The certificates in use, the default first.
    pub certificates: Vec<CertificateReport>,
    /// Reloads that found the files usable, changed or not.
    pub reloads_ok: u64,
    /// Reloads that kept the certificates in use because the files are not usable.
    pub reloads_failed: u64,
}

/// The TLS of one listener.
#[derive(Debug)]
pub struct ListenerTls {
    files: TlsFiles,
    settings: TlsSettings,
    resolver: Arc<CertificateResolver>,
    config: RwLock<Arc<ServerConfig>>,
    /// One reload at a time.
    reloading: Mutex<Reloading>,
    reloads_ok: AtomicU64,
    reloads_failed: AtomicU64,
}

#[derive(Debug)]
struct Reloading {
    watch: Watch,
    authorities: Vec<CertificateDer<'static>>,
}

struct Loaded {
    set: CertificateSet,
    authorities: Option<ClientAuthorities>,
    warnings: Vec<Finding>,
}

impl ListenerTls {
    /// Reads and checks all files, at `now` in seconds since 1970; the second value are the warnings. Blocks on files.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(files: TlsFiles, settings: TlsSettings, now: i64) -> Result<(Self, Vec<Finding>), LoadError> {
        let watch = Watch::new(files.stamps());
        let Loaded { set, authorities, warnings } = load(&files, &settings, now)?;
        let resolver = Arc::new(CertificateResolver::new(Arc::new(set)));
        let roots = authorities.as_ref().map(|authorities| authorities.roots.clone());
        let config = build(&settings, roots, resolver.clone())?;
        let authorities = authorities.map(|authorities| authorities.certificates).unwrap_or_default();
        let tls = Self {
            files,
            settings,
            resolver,
            config: RwLock::new(Arc::new(config)),
            reloading: Mutex::new(Reloading { watch, authorities }),
            reloads_ok: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
        };
        Ok((tls, warnings))
    }

    /// What the next connection is accepted with. To be asked for each: another authority of clients is another one.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.read().clone()
    }

    /// Reads all files anew and uses them if they are good. Connections keep what they have. Blocks on files.
    ///
    /// # Errors
    /// [`LoadError`]: what was in use stays in use. So it does for a certificate that has expired, at any strictness,
    /// while the one in use has not.
    pub fn reload(&self, now: i64) -> Result<Reloaded, LoadError> {
        let mut reloading = self.reloading.lock();
        reloading.watch = Watch::new(self.files.stamps());
        self.reload_locked(&mut reloading, now)
    }

    /// For a tick every few seconds: reloads if the files changed and have been left alone since the last tick. Blocks
    /// on files.
    pub fn poll(&self, now: i64) -> Option<Result<Reloaded, LoadError>> {
        let mut reloading = self.reloading.lock();
        reloading.watch.observe(self.files.stamps()).then(|| self.reload_locked(&mut reloading, now))
    }

    fn reload_locked(&self, reloading: &mut Reloading, now: i64) -> Result<Reloaded, LoadError> {
        let result = self.exchange(reloading, now);
        let counter = if result.is_ok() { &self.reloads_ok } else { &self.reloads_failed };
        counter.fetch_add(1, Relaxed);
        result
    }

    fn exchange(&self, reloading: &mut Reloading, now: i64) -> Result<Reloaded, LoadError> {
        let Loaded { set, authorities, warnings } = load(&self.files, &self.settings, now)?;
        let current = self.resolver.current();
        let expired = self.newly_expired(&current, &set, now);
        if !expired.is_empty() {
            return Err(LoadError::Files(expired));
        }
        let roots = authorities.as_ref().map(|authorities| authorities.roots.clone());
        let authorities = authorities.map(|authorities| authorities.certificates).unwrap_or_default();
        let same_authorities = authorities == reloading.authorities;
        if same_authorities && same_certificates(&current, &set) {
            return Ok(Reloaded::Unchanged);
        }
        // What can fail comes first: afterwards either all is exchanged or nothing.
        if !same_authorities {
            let config = build(&self.settings, roots, self.resolver.clone())?;
            *self.config.write() = Arc::new(config);
            reloading.authorities = authorities;
        }
        self.resolver.replace(Arc::new(set));
        Ok(Reloaded::Changed { warnings })
    }

    fn newly_expired(&self, current: &CertificateSet, new: &CertificateSet, now: i64) -> Vec<Finding> {
        let pairs = self.files.pairs.iter().zip(current.reports().zip(new.reports()));
        let expired = pairs.filter(|(_, (current, new))| new.not_after < now && current.not_after >= now);
        let finding = |(files, (_, new)): (&CertificateFiles, (&CertificateReport, &CertificateReport))| Finding {
            fault: Fault::Expired,
            severity: Severity::Error,
            role: FileRole::Certificate,
            file: files.certificate.clone(),
            reason: format!("the new certificate of {:?} expired at {}", new.subject, show_time(new.not_after)),
            accepted: "a certificate that is not expired: the one in use is not",
        };
        expired.map(finding).collect()
    }

    /// What is in use, for `status` and metrics.
    #[must_use]
    pub fn status(&self) -> TlsStatus {
        TlsStatus {
            minimum_version: self.settings.policy.minimum.as_str(),
            suites: self.settings.policy.suite_names(),
            client_auth: self.settings.client_auth,
            certificates: self.resolver.current().reports().cloned().collect(),
            reloads_ok: self.reloads_ok.load(Relaxed),
            reloads_failed: self.reloads_failed.load(Relaxed),
        }
    }
}

fn load(files: &TlsFiles, settings: &TlsSettings, now: i64) -> Result<Loaded, LoadError> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut certificates: Vec<LoadedCertificate> = Vec::new();
    for pair in &files.pairs {
        match load_certificate(pair, files.strictness, now) {
            Ok((certificate, warnings)) => {
                certificates.push(certificate);
                findings.extend(warnings);
            }
            Err(faults) => findings.extend(faults),
        }
    }
    let authorities = files.client_ca.as_deref().map(|path| load_client_authorities(path, files.strictness));
    let authorities = authorities.transpose().map_err(|faults| findings.extend(faults)).unwrap_or_default();
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(LoadError::Files(findings));
    }
    let set = CertificateSet::new(certificates)?;
    if !suites_fit(&settings.policy, &set) {
        findings.extend(files.pairs.first().zip(set.reports().next()).map(|(files, report)| Finding {
            fault: Fault::UnusableKey,
            severity: Severity::Error,
            role: FileRole::Certificate,
            file: files.certificate.clone(),
            reason: format!("no TLS 1.2 suite of the cipher string works with a key of kind {}", report.key),
            accepted: "suites for the certificate's key, such as ECDHE+AESGCM, which has some for RSA and for ECDSA",
        }));
        return Err(LoadError::Files(findings));
    }
    Ok(Loaded { set, authorities, warnings: findings })
}

/// The chains are the same; a key for the same public key is the same key.
fn same_certificates(a: &CertificateSet, b: &CertificateSet) -> bool {
    a.keys().map(|certified| &certified.cert).eq(b.keys().map(|certified| &certified.cert))
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
