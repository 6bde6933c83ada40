//! `admin.sock` in the data directory, for whoever may read that directory: no port to know, no network to cross.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::UnixListener;

/// The socket's name inside the data directory.
pub const SOCKET_NAME: &str = "admin.sock";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process answers on it.
    #[error("the data directory {0} is used by another vedfolnir process, which answers on its {SOCKET_NAME}")]
    InUse(String),
    /// The system refused it.
    #[error("{SOCKET_NAME} cannot be made in {directory}: {source}")]
    Refused {
        /// The data directory.
        directory: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Binds the socket with mode 0600; one that a dead process left behind is replaced.
///
/// # Errors
/// When a living process owns it, or when the system refuses (a path beyond 107 bytes, for one).
pub async fn bind_socket(data_dir: &Path) -> Result<UnixListener, SocketError> {
    let path = data_dir.join(SOCKET_NAME);
    let refused = |source| SocketError::Refused { directory: data_dir.display().to_string(), source };
    if tokio::net::UnixStream::connect(&path).await.is_ok() {
        return Err(SocketError::InUse(data_dir.display().to_string()));
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(refused)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(listener)
}
