//! Certificates between peers: files, those that the cluster issued, a join token to have them issued, or none.

use std::path::{Path, PathBuf};

use vedfolnir_cluster::{ClusterTls, JoinToken, issued_certificate};

use super::validate::{BOOTSTRAP, BOOTSTRAP_EXPECT};
use super::value::{Given, given};
use super::{ConfigError, Settings};

const TLS_CA: &str = "--tls-ca (WEBSOCKET_CLUSTER_TLS_CA_FILE)";
const TLS_CERT: &str = "--tls-cert (WEBSOCKET_CLUSTER_TLS_CERT_FILE)";
const TLS_KEY: &str = "--tls-key (WEBSOCKET_CLUSTER_TLS_KEY_FILE)";
const TLS_CA_KEY: &str = "--tls-ca-key (WEBSOCKET_CLUSTER_TLS_CA_KEY_FILE)";
const JOIN_TOKEN: &str = "--join-token (WEBSOCKET_CLUSTER_JOIN_TOKEN)";
const JOIN_TOKEN_FILE: &str = "--join-token-file (WEBSOCKET_CLUSTER_JOIN_TOKEN_FILE)";
/// A file of a join token is no larger.
const TOKEN_FILE_BYTES_MAX: u64 = 4 << 10;

impl Settings {
    pub(super) fn tls(&self, data_dir: &Path) -> Result<ClusterTls, ConfigError> {
        let files =
            [(TLS_CA, self.tls_ca.as_ref()), (TLS_CERT, self.tls_cert.as_ref()), (TLS_KEY, self.tls_key.as_ref())]
                .map(|(setting, text)| (setting, given(setting, text)));
        let token = self.has_token();
        if files.iter().all(|(_, file)| file.is_none()) {
            // A restart: the same command line, and the token has done its work.
            if issued_certificate(data_dir).exists() {
                return Ok(ClusterTls::DataDir { token: None });
            }
            return match token {
                Some(_) => Ok(ClusterTls::DataDir { token: Some(self.token()?) }),
                None => Ok(ClusterTls::InsecureLoopback),
            };
        }
        if let Some(setting) = token {
            return Err(ConfigError::new(
                setting,
                "(hidden)",
                "this node has certificates of its own, the token would not be used",
                "either a join token, or --tls-ca, --tls-cert and --tls-key",
            ));
        }
        for (setting, file) in &files {
            let Some(file) = file else {
                return Err(ConfigError::missing(
                    setting,
                    "the other certificate files are given",
                    "a PEM file; all of --tls-ca, --tls-cert and --tls-key, or none",
                ));
            };
            check_readable(file)?;
        }
        let [ca_file, cert_file, key_file] =
            files.map(|(_, file)| file.map(|file| PathBuf::from(file.text)).unwrap_or_default());
        Ok(ClusterTls::Mutual { ca_file, cert_file, key_file })
    }

    pub(super) fn tls_ca_key(&self, tls: &ClusterTls) -> Result<Option<PathBuf>, ConfigError> {
        let Some(key) = given(TLS_CA_KEY, self.tls_ca_key.as_ref()) else { return Ok(None) };
        if matches!(tls, ClusterTls::InsecureLoopback) {
            return Err(key.refuse("a node without certificates signs none", "also --tls-ca, --tls-cert and --tls-key"));
        }
        check_readable(&key)?;
        Ok(Some(PathBuf::from(key.text)))
    }

    /// Which setting gives a token, if one does.
    fn has_token(&self) -> Option<&'static str> {
        let inline = self.join_token.as_ref().is_some_and(|token| !token.reveal().trim().is_empty());
        if inline {
            return Some(JOIN_TOKEN);
        }
        given(JOIN_TOKEN_FILE, self.join_token_file.as_ref()).map(|given| given.setting)
    }

    fn token(&self) -> Result<JoinToken, ConfigError> {
        const FORM: &str = "the whole line that `vedfolnir token create --join` printed";
        let inline = self.join_token.as_ref().map(|token| token.reveal().trim()).filter(|text| !text.is_empty());
        let file = given(JOIN_TOKEN_FILE, self.join_token_file.as_ref());
        let (setting, text) = match (inline, &file) {
            (Some(_), Some(file)) => {
                return Err(file.refuse("--join-token is given as well", "one of the two"));
            }
            (Some(text), None) => (JOIN_TOKEN, text.to_owned()),
            (None, Some(file)) => (JOIN_TOKEN_FILE, read_token(file)?),
            (None, None) => return Err(ConfigError::missing(JOIN_TOKEN, "no token is given", FORM)),
        };
        let token: JoinToken =
            text.parse().map_err(|error| ConfigError::new(setting, "(hidden)", format!("{error}"), FORM))?;
        if given(BOOTSTRAP, self.bootstrap.as_ref()).is_none() {
            return Err(ConfigError::missing(
                BOOTSTRAP,
                "a join token is shown to a node of the cluster",
                "HOST:PORT[,HOST:PORT...]",
            ));
        }
        if let Some(expect) = given(BOOTSTRAP_EXPECT, self.bootstrap_expect.as_ref()) {
            return Err(
                expect.refuse("a node with a join token joins a cluster, it never forms one", "--bootstrap alone")
            );
        }
        Ok(token)
    }
}

fn check_readable(file: &Given<'_>) -> Result<(), ConfigError> {
    std::fs::File::open(file.text)
        .map(drop)
        .map_err(|error| file.refuse(format!("cannot be read ({error})"), "a readable PEM file"))
}

fn read_token(file: &Given<'_>) -> Result<String, ConfigError> {
    const FORM: &str = "a readable file that holds one join token";
    let refused = |reason: String| file.refuse(reason, FORM);
    let length = std::fs::metadata(file.text).map_err(|error| refused(format!("cannot be read ({error})")))?.len();
    if length > TOKEN_FILE_BYTES_MAX {
        return Err(refused(format!("{length} bytes are no join token")));
    }
    std::fs::read_to_string(file.text).map_err(|error| refused(format!("cannot be read ({error})")))
}
