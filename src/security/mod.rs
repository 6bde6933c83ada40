//! Who may come in, from where and how often: every decision is a pure function of what the caller hands in.
//!
//! ```text
//!   TCP ─► proxy_protocol ─► [TLS] ─► HTTP head ─► proxy (who is it?) ─► hosts (for us?) ─► redirect (HTTPS?)
//!                                                      │
//!             headers · hsts (on the way out) ◄── csrf ◄── origin ◄── keyed_limit · concurrent (how many?)
//!                                                      │
//!                                 session ─► rate_limit (messages, bytes)       all refusals ─► events
//! ```
//!
//! Nothing here reads a clock, a socket or the environment, and no lock is held across an await.

pub mod affinity;
pub mod auth;
pub mod bearer;
pub mod cidr;
pub mod concurrent;
pub mod cookies;
pub mod csrf;
pub mod csrf_token;
pub mod endpoint;
pub mod events;
pub mod forwarded;
pub mod guard;
pub mod headers;
pub mod host;
pub mod hosts;
pub mod hsts;
pub mod ip_key;
pub mod keyed_limit;
pub mod origin;
pub mod origin_settings;
pub mod proxy;
pub mod proxy_headers;
pub mod proxy_protocol;
pub mod rate_limit;
pub mod redirect;
pub mod rules;
pub mod secret;
pub(crate) mod token_door;
