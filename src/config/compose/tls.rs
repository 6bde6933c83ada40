//! Category 2: the public listener's TLS, its files read and judged.

use super::node::host_bind;
use crate::config::problem::Severity;
use crate::config::schema::kind::FilePath;
use crate::config::schema::{Setting, mode, tls as schema};
use crate::config::values::Values;
use crate::config::{Inputs, TlsConfig};
use crate::tls::doctor::{Examination, examine};
use crate::tls::{
    CertificateFiles, ClientAuth, FileRole, Finding, ListenerTls, LoadError, Policy, Severity as Found, Strictness,
    TlsFiles, TlsSettings,
};

/// What is negotiated, by preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Files of the public listener's TLS, and the host that they are for.
#[derive(Clone, Debug)]
pub struct TlsPlan {
    /// The files.
    pub files: TlsFiles,
    /// The public URL's host, if that is to be named by the certificate.
    pub public_host: Option<String>,
}

/// The files, if a certificate is given.
pub(in crate::config) fn plan(values: &Values<'_>) -> Option<TlsPlan> {
    let (certificate, key) = (values.given(&schema::SSL_CERT_FILE)?, values.given(&schema::SSL_KEY_FILE)?);
    let pair = CertificateFiles { certificate, key, chain: values.given(&schema::SSL_CERT_CHAIN_FILE) };
    let strictness = if values.production() { Strictness::Production } else { Strictness::Relaxed };
    let files = TlsFiles { pairs: vec![pair], client_ca: values.given(&schema::SSL_CA_FILE), strictness };
    let url = values.given(&mode::PUBLIC_URL).filter(|_| values.get(&schema::SSL_CHECK_HOSTNAME));
    Some(TlsPlan { files, public_host: url.as_deref().and_then(host_of_https) })
}

/// `None` without a certificate.
pub(super) fn compose(values: &Values<'_>, inputs: &Inputs) -> Option<TlsConfig> {
    let settings = settings(values);
    let Some(plan) = plan(values) else {
        say_missing(values);
        return None;
    };
    let client_auth = values.get(&schema::SSL_CLIENT_AUTH);
    if client_auth != ClientAuth::None && plan.files.client_ca.is_none() {
        values.refuse(
            &schema::SSL_CA_FILE,
            format!("client certificates are {client_auth} (--ssl-client-auth)"),
            "the PEM file of their authorities",
        );
        return None;
    }
    let settings = settings?;
    if examined(values, inputs, &plan) {
        load(values, inputs, &plan.files, &settings);
    }
    let bind = host_bind(values, values.get(&mode::TLS_PORT), &mode::TLS_PORT);
    Some(TlsConfig { bind, files: plan.files, settings, reload: values.get(&schema::SSL_RELOAD) })
}

/// Half a pair, or files of a certificate that is not there.
fn say_missing(values: &Values<'_>) {
    match (values.is_given(&schema::SSL_CERT_FILE), values.is_given(&schema::SSL_KEY_FILE)) {
        (true, false) => {
            values.refuse(
                &schema::SSL_KEY_FILE,
                "a certificate is given (--ssl-cert-file)",
                "its private key's PEM file",
            );
        }
        (false, true) => {
            values.refuse(&schema::SSL_CERT_FILE, "a key is given (--ssl-key-file)", "its certificate's PEM file");
        }
        _ => {
            for setting in [&schema::SSL_CERT_CHAIN_FILE, &schema::SSL_CA_FILE] {
                if values.is_given(setting) {
                    values.refuse(setting, "there is no certificate (--ssl-cert-file)", "also a certificate and a key");
                }
            }
        }
    }
}

fn settings(values: &Values<'_>) -> Option<TlsSettings> {
    let minimum = values.get(&schema::SSL_VERSION);
    let policy = match Policy::new(minimum, &values.get(&schema::SSL_CIPHERS)) {
        Ok(policy) => policy,
        Err(error) => {
            values.refuse_for(&schema::SSL_CIPHERS, &error);
            return None;
        }
    };
    if let Some(warning) = policy.warning() {
        values.say(Severity::Warning, &schema::SSL_CIPHERS, warning, "");
    }
    let alpn = ALPN.map(<[u8]>::to_vec).to_vec();
    Some(TlsSettings { policy, client_auth: values.get(&schema::SSL_CLIENT_AUTH), alpn, server_order: true })
}

/// Whether the files can be loaded; says what is wrong with them.
fn examined(values: &Values<'_>, inputs: &Inputs, plan: &TlsPlan) -> bool {
    let diagnosis = examine(&Examination {
        pairs: &plan.files.pairs,
        client_ca: plan.files.client_ca.as_deref(),
        trust: None,
        public_host: plan.public_host.as_deref(),
        strictness: plan.files.strictness,
        now: inputs.now_unix,
    });
    for finding in &diagnosis.findings {
        say(values, finding);
    }
    diagnosis.findings.iter().all(|finding| finding.severity != Found::Error)
}

/// What only a listener sees: suites that no key fits, too many certificates.
fn load(values: &Values<'_>, inputs: &Inputs, files: &TlsFiles, settings: &TlsSettings) {
    match ListenerTls::load(files.clone(), settings.clone(), inputs.now_unix) {
        Ok(_) => {}
        Err(LoadError::Files(findings)) => {
            findings.iter().filter(|finding| finding.severity == Found::Error).for_each(|finding| say(values, finding));
        }
        Err(error) => values.refuse_for(&schema::SSL_CERT_FILE, &error),
    }
}

fn say(values: &Values<'_>, finding: &Finding) {
    let severity = if finding.severity == Found::Error { Severity::Error } else { Severity::Warning };
    values.say(severity, setting_of(finding.role), finding.reason.clone(), finding.accepted);
}

fn setting_of(role: FileRole) -> &'static Setting<FilePath> {
    match role {
        FileRole::Certificate => &schema::SSL_CERT_FILE,
        FileRole::Key => &schema::SSL_KEY_FILE,
        FileRole::Chain => &schema::SSL_CERT_CHAIN_FILE,
        FileRole::ClientCa | FileRole::Trust => &schema::SSL_CA_FILE,
    }
}

/// The host of an `https://` address, without port and brackets.
fn host_of_https(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => authority.split(':').next()?,
    };
    Some(host.to_owned())
}
