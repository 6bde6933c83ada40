//! The WebSocket service, its HTTP and admin doors, and the API for embedding applications.
//!
//! ```text
//!   browser ──► service (listener · polling · websocket · hub · resume) ──► vedfolnir_cluster::Cluster
//!                  ▲                                                             │ Notice
//!                  └──────────────────── dispatcher ◄────────────────────────────┘
//!   operator ─► admin (status)     scraper ─► observability (health · metrics · logs)
//! ```
//!
//! [`server::Server`] wires the floors together from one validated [`config::Config`]; the binary only turns arguments
//! into that configuration. The library knows nothing of `rocksdb`, `openraft` types or QUIC.

pub mod admin;
pub mod alerts;
pub mod api;
pub mod app;
pub mod backend;
pub mod backup;
pub mod config;
pub mod doctor;
mod http_client;
pub mod observability;
pub mod security;
pub mod server;
pub mod service;
pub mod support_bundle;
pub mod tls;
pub mod webhooks;

pub use vedfolnir_cluster::certificates;
pub use vedfolnir_cluster::state::LogPosition;
