//! How a subcommand reaches a node's operators' door, and what it makes of a refusal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vedfolnir::admin::{self, AdminError, Done, SOCKET_NAME, Target};
use vedfolnir::config::DEFAULT_ADMIN_BIND;
use vedfolnir::security::secret::Secret;

use super::Failure;

/// Which node is asked.
#[derive(Args, Debug)]
pub(crate) struct Door {
    /// The node's admin listener: HOST:PORT, http://HOST:PORT or unix:PATH [default: the node that WEBSOCKET_DATA_DIR or
    /// WEBSOCKET_ADMIN_BIND name, as in its own container, else 127.0.0.1:5002]
    #[arg(long, value_name = "ADDR", conflicts_with = "data_dir")]
    addr: Option<String>,
    /// The node's data directory, or that of vedfolnir dev: its socket is asked
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// File of the token that the admin listener asks for [default: what WEBSOCKET_ADMIN_TOKEN or WEBSOCKET_ADMIN_TOKEN_FILE
    /// give, if anything]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A token's file is no larger, in bytes.
const TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;

impl Door {
    /// The token to show, if there is one.
    pub(crate) fn token(&self) -> Result<Option<Secret>, Failure> {
        let named = self.token_file.clone().or_else(|| variable("WEBSOCKET_ADMIN_TOKEN_FILE").map(PathBuf::from));
        let Some(path) = named else {
            return Ok(variable("WEBSOCKET_ADMIN_TOKEN").map(|token| token.trim().to_owned().into()));
        };
        read_token(&path, "--token-file").map(Some)
    }

    /// Where the node may be, to be tried in turn.
    pub(crate) fn targets(&self) -> Result<Vec<Target>, Failure> {
        if let Some(data_dir) = &self.data_dir {
            return Ok(sockets(data_dir));
        }
        // Beside a node, in its environment, its own door is meant; the socket needs no token.
        if self.addr.is_none()
            && let Some(data_dir) = variable("WEBSOCKET_DATA_DIR").map(PathBuf::from)
            && data_dir.join(SOCKET_NAME).exists()
        {
            return Ok(vec![Target::Unix(data_dir.join(SOCKET_NAME))]);
        }
        let named = || variable("WEBSOCKET_ADMIN_BIND").or_else(|| variable("WEBSOCKET_ADMIN_ADDR"));
        let addr = self.addr.clone().or_else(named);
        let addr = addr.as_deref().unwrap_or(DEFAULT_ADMIN_BIND);
        let target =
            addr.parse().map_err(|form| Failure::configuration(format!("--addr = {addr:?} is refused: {form}")))?;
        Ok(vec![target])
    }

    /// The one node that is meant: for what must not be done to just any node of a directory.
    fn target(&self) -> Result<Target, Failure> {
        let mut targets = self.targets()?;
        match (targets.pop(), targets.is_empty()) {
            (Some(target), true) => Ok(target),
            _ => Err(Failure::configuration(
                "--data-dir holds several nodes; give the data directory of one of them, or --addr",
            )),
        }
    }

    /// Posts a request to the one node, and returns what was done.
    pub(crate) async fn post<B: Serialize>(&self, path: &str, body: &B, timeout: Duration) -> Result<Done, Failure> {
        let target = self.target()?;
        post_to(&target, self.token()?.as_ref(), path, body, timeout).await
    }

    /// Has the one node do something, and returns how it is then.
    pub(crate) async fn change<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let (target, token) = (self.target()?, self.token()?);
        let body = serde_json::to_vec(body).map_err(|error| Failure::other(error.to_string()))?;
        understood(admin::post(&target, token.as_ref(), path, body, timeout).await)
    }

    /// Reads something of the one node.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, timeout: Duration) -> Result<T, Failure> {
        let (target, token) = (self.target()?, self.token()?);
        understood(admin::get(&target, token.as_ref(), path, timeout).await)
    }

    /// Changes something of the one node, and returns what it is then.
    pub(crate) async fn put<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let (target, token) = (self.target()?, self.token()?);
        let body = serde_json::to_vec(body).map_err(|error| Failure::other(error.to_string()))?;
        understood(admin::put(&target, token.as_ref(), path, body, timeout).await)
    }

    /// The same for a node that speaks for its cluster: of a directory with several, the first that answers.
    pub(crate) async fn post_any<B: Serialize>(
        &self,
        path: &str,
        body: &B,
        timeout: Duration,
    ) -> Result<Done, Failure> {
        let targets = self.targets()?;
        let token = self.token()?;
        let mut last = Failure::other("there is no node to ask");
        for target in &targets {
            // Whether it answers at all; what it answers to the request is its own word.
            match admin::get(target, token.as_ref(), "/status", timeout).await {
                Ok((status, _)) if status.is_success() => {
                    return post_to(target, token.as_ref(), path, body, timeout).await;
                }
                Ok((status, body)) => last = Failure::other(format!("{target}: {}", reason(status.as_u16(), &body))),
                Err(error) => last = Failure::other(error.to_string()),
            }
        }
        Err(last)
    }
}

/// The token in a file that `setting` names.
pub(super) fn read_token(path: &Path, setting: &str) -> Result<Secret, Failure> {
    let refused = |reason: String| {
        Failure::configuration(format!(
            "{setting} = {path:?} is refused: {reason}; accepted: a file that holds a token"
        ))
    };
    let length = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if length > TOKEN_FILE_BYTES_MAX {
        return Err(refused(format!("{length} bytes are no token")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    Ok(text.trim().to_owned().into())
}

/// A variable of the environment, unless it is blank.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

async fn post_to<B: Serialize>(
    target: &Target,
    token: Option<&Secret>,
    path: &str,
    body: &B,
    timeout: Duration,
) -> Result<Done, Failure> {
    let body = serde_json::to_vec(body).map_err(|error| Failure::other(error.to_string()))?;
    understood(admin::post(target, token, path, body, timeout).await)
}

/// What a node answered, unless it is a refusal.
pub(super) fn understood<T: DeserializeOwned>(answered: Result<(StatusCode, Bytes), AdminError>) -> Result<T, Failure> {
    let (status, answer) = answered.map_err(|error| Failure::other(error.to_string()))?;
    if !status.is_success() {
        return Err(Failure::other(reason(status.as_u16(), &answer)));
    }
    serde_json::from_slice(&answer)
        .map_err(|error| Failure::other(format!("the node's answer is not understood: {error}")))
}

/// The node's own words for why not.
pub(crate) fn reason(status: u16, body: &[u8]) -> String {
    match status {
        401 => {
            return "it asks for a token: --token-file FILE, or WEBSOCKET_ADMIN_TOKEN or WEBSOCKET_ADMIN_TOKEN_FILE"
                .to_owned();
        }
        403 | 429 => return String::from_utf8_lossy(body).trim().to_owned(),
        _ => {}
    }
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let word = |name: &str| Some(body.as_ref()?.get(name)?.as_str()?.to_owned());
    word("error").or_else(|| word("reason")).unwrap_or_else(|| format!("HTTP {status}"))
}

/// The directory's own socket, or those of the nodes inside it.
fn sockets(data_dir: &Path) -> Vec<Target> {
    let own = data_dir.join(SOCKET_NAME);
    let mut inside: Vec<PathBuf> = std::fs::read_dir(data_dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join(SOCKET_NAME)))
        .filter(|socket| socket.exists())
        .collect();
    inside.sort();
    if own.exists() || inside.is_empty() {
        vec![Target::Unix(own)]
    } else {
        inside.into_iter().map(Target::Unix).collect()
    }
}
