//! A read of the replicated state: from this node's replica as it is, or linearizable on request.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use vedfolnir_cluster::state::State;

use super::reply::Reply;
use crate::service;

/// Why a read has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It was to be linearizable, and no quorum confirmed it in time.
    #[error("no quorum confirmed the read within {} s; a local read may be stale", .0.as_secs_f64())]
    NoQuorum(Duration),
    /// It was to be linearizable, and too many such reads wait.
    #[error("the node has too many reads waiting for a quorum; try again later")]
    Overloaded,
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// It cannot be answered at the cost of a look-up.
    #[error(
        "several rooms, or rooms with exceptions, cannot be counted at once; ask for one room, or fetch the sockets"
    )]
    TooBroad,
    /// A room was named that is the server's own.
    #[error("a room whose name begins with U+0000 is the server's own; accepted: any other first character")]
    ReservedRoom,
}

impl ReadError {
    /// The stable code that clients see.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoQuorum(_) | Self::ShuttingDown => "no_quorum",
            Self::Overloaded => "overloaded",
            Self::TooBroad | Self::ReservedRoom => "bad_request",
        }
    }
}

impl From<ReadError> for Reply {
    fn from(error: ReadError) -> Self {
        Self::error(error.code(), &error.to_string())
    }
}

impl From<vedfolnir_cluster::ReadError> for ReadError {
    fn from(error: vedfolnir_cluster::ReadError) -> Self {
        match error {
            vedfolnir_cluster::ReadError::NoQuorum(within) => Self::NoQuorum(within),
            vedfolnir_cluster::ReadError::Overloaded => Self::Overloaded,
            vedfolnir_cluster::ReadError::ShuttingDown => Self::ShuttingDown,
        }
    }
}

type View<T> = Box<dyn FnOnce(&State) -> Result<T, ReadError> + Send>;

/// A read that is answered when it is awaited.
///
/// By default it is answered at once from this node's replica, which may be behind other nodes by what is under way to it;
/// what this node itself was told to be committed, it shows. [`Read::linearizable`] makes it show everything that any
/// node was told to be committed before the read was awaited.
#[must_use = "a read does nothing until it is awaited"]
pub struct Read<T> {
    service: Arc<service::Inner>,
    linearizable: bool,
    view: View<T>,
}

impl<T> Read<T> {
    pub(crate) fn new(
        service: &Arc<service::Inner>,
        view: impl FnOnce(&State) -> Result<T, ReadError> + Send + 'static,
    ) -> Self {
        Self { service: Arc::clone(service), linearizable: false, view: Box::new(view) }
    }

    /// Asks the leader, which asks a quorum, before it reads: it costs a round trip or two, and fails without a quorum.
    pub fn linearizable(mut self) -> Self {
        self.linearizable = true;
        self
    }
}

impl<T: 'static> IntoFuture for Read<T> {
    type Output = Result<T, ReadError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { service, linearizable, view } = self;
        Box::pin(async move {
            if linearizable {
                service.cluster.read_index(service.config.publish_timeout).await?;
            }
            service.cluster.read(view)
        })
    }
}

impl<T> fmt::Debug for Read<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("linearizable", &self.linearizable).finish_non_exhaustive()
    }
}
