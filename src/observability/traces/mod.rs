//! Traces: what became of one message, on every node that had to do with it, for a receiver of OpenTelemetry's protocol.
//!
//! ```text
//!   client's traceparent ─► handle EVENT ─► publish ─┬─► commit   on the leader: handed to Raft ─► committed and applied
//!        (or none)           the node of the client  └─► deliver  on each node with members of the rooms
//!                                                          └─► send   to one client, until it is written
//! ```
//!
//! The context travels with the broadcast in the log ([`Publish::trace`]), so that all nodes tell one trace. Whether an event
//! is told is decided once, where it comes in; what is not told costs a look at whether there is a tracer.
//!
//! [`Publish::trace`]: vedfolnir_cluster::state::Publish::trace

mod current;
mod export;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod otlp;
mod sampler;
mod span;
mod stats;
mod traceparent;
mod tracer;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::security::endpoint::Endpoint;
use crate::security::secret::Secret;

pub(crate) use current::{current, scope, within};
pub use sampler::{Sampler, SamplerKind};
pub use span::{Attribute, Kind};
pub use stats::TraceStats;
pub(crate) use traceparent::text;
pub use traceparent::{Parent, parse_traceparent, traceparent};
pub(crate) use tracer::ActiveSpan;
pub use tracer::Tracer;

/// Where traces go, and which ones are told.
#[derive(Clone, Debug)]
pub struct TraceConfig {
    /// A receiver of OTLP over HTTP: the whole address, `/v1/traces` included.
    pub endpoint: Endpoint,
    /// For `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// Headers of each request; values may be secret.
    pub headers: Vec<(http::HeaderName, Secret)>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// `service.name`.
    pub service_name: String,
    /// Further attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// Which traces are told.
    pub sampler: Sampler,
    /// Traces begun in a second at most, whoever asks for them.
    pub per_second_max: u32,
}
