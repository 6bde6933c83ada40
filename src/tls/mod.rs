//! TLS of the public listener: what is spoken, with which certificates, and how they are exchanged while it runs.
//!
//! ```text
//!   settings ─► version · cipher_string ─► policy ─┐
//!   files ─► pem_file ─► certificate · chain ──────┤► reload::ListenerTls ─► config() ─► stream::accept
//!                 │           (finding)            │        ▲
//!                 └► doctor                   server_config │ watch (files), SIGHUP
//! ```
//!
//! The TLS between nodes is another: `vedfolnir_cluster` has it.

pub mod certificate;
mod chain;
pub mod cipher_string;
mod cipher_table;
pub mod client_auth;
pub mod doctor;
pub mod finding;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod handshake_failure;
pub mod inspect;
pub mod pem_file;
pub mod policy;
pub mod reload;
pub mod resolver;
pub mod server_config;
pub mod stream;
pub mod version;
pub mod watch;

#[cfg(test)]
mod test_files;

pub use certificate::CertificateFiles;
pub use client_auth::{ClientAuth, verified_client_subject};
pub use finding::{Fault, FileRole, Finding, Severity, Strictness};
pub use handshake_failure::{HandshakeFailure, HandshakeFailureKind};
pub use inspect::CertificateReport;
pub use policy::Policy;
pub use reload::{ListenerTls, LoadError, Reloaded, TlsFiles, TlsStatus};
pub use server_config::TlsSettings;
pub use stream::{Accepted, PLAIN_HTTP_ANSWER, Peek, accept, refuse_plain_http};
pub use version::MinimumVersion;
