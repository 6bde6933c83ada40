//! Certificates between peers: files, those that the cluster issued, a join token to have them issued, or none.

use std::path::{Path, PathBuf};

use vedfolnir_cluster::{ClusterTls, JoinToken, issued_certificate};

use crate::config::schema::cluster::{
    BOOTSTRAP, BOOTSTRAP_EXPECT, JOIN_TOKEN, TLS_CA_FILE, TLS_CA_KEY_FILE, TLS_CERT_FILE, TLS_KEY_FILE,
};
use crate::config::schema::{Setting, kind::FilePath};
use crate::config::values::Values;

pub(super) fn tls(values: &Values<'_>, data_dir: &Path) -> ClusterTls {
    let files = [&TLS_CA_FILE, &TLS_CERT_FILE, &TLS_KEY_FILE];
    if files.iter().all(|file| !values.is_given(*file)) {
        // A restart: the same command line, and the token has done its work.
        if issued_certificate(data_dir).exists() {
            return ClusterTls::DataDir { token: None };
        }
        return match values.given(&JOIN_TOKEN) {
            Some(text) => ClusterTls::DataDir { token: token(values, &text) },
            None => ClusterTls::InsecureLoopback,
        };
    }
    if values.is_given(&JOIN_TOKEN) {
        values.refuse(
            &JOIN_TOKEN,
            "this node has certificates of its own, the token would not be used",
            "either a join token, or --tls-ca, --tls-cert and --tls-key",
        );
    }
    let [ca_file, cert_file, key_file] = files.map(|file| {
        match values.given(file) {
            Some(path) => check_readable(values, file, &path),
            None => values.refuse(
                file,
                "the other certificate files are given",
                "a PEM file; all of --tls-ca, --tls-cert and --tls-key, or none",
            ),
        }
        values.given(file).unwrap_or_default()
    });
    ClusterTls::Mutual { ca_file, cert_file, key_file }
}

pub(super) fn tls_ca_key(values: &Values<'_>, tls: &ClusterTls) -> Option<PathBuf> {
    let key = values.given(&TLS_CA_KEY_FILE)?;
    if matches!(tls, ClusterTls::InsecureLoopback) {
        values.refuse(
            &TLS_CA_KEY_FILE,
            "a node without certificates signs none",
            "also --tls-ca, --tls-cert and --tls-key",
        );
    }
    check_readable(values, &TLS_CA_KEY_FILE, &key);
    Some(key)
}

fn token(values: &Values<'_>, text: &str) -> Option<JoinToken> {
    let token = match text.trim().parse::<JoinToken>() {
        Ok(token) => Some(token),
        Err(error) => {
            let form = "the whole line that `vedfolnir token create --join` printed";
            values.refuse(&JOIN_TOKEN, error.to_string(), form);
            None
        }
    };
    if !values.is_given(&BOOTSTRAP) {
        values.refuse(&BOOTSTRAP, "a join token is shown to a node of the cluster", "HOST:PORT[,HOST:PORT...]");
    }
    if values.is_given(&BOOTSTRAP_EXPECT) {
        values.refuse(
            &BOOTSTRAP_EXPECT,
            "a node with a join token joins a cluster, it never forms one",
            "--bootstrap alone",
        );
    }
    token
}

fn check_readable(values: &Values<'_>, setting: &Setting<FilePath>, path: &Path) {
    if let Err(error) = std::fs::File::open(path) {
        values.refuse(setting, format!("cannot be read ({error})"), "a readable PEM file");
    }
}
