//! A node that embeds the server, with a handler of its own for `echo`: what the Rust API costs beside the relay's.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use vedfolnir::app::{App, Args, Reply, Socket};
use vedfolnir::config::{Inputs, load};
use vedfolnir::observability::log;
use vedfolnir::server::Server;

use super::{hear, say};
use crate::error::BenchError;

/// What the handler takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Taken {
    /// The arguments as they came, as the relay's handler does.
    Args,
    /// A text, deserialised, and serialised again for the ack.
    Text,
}

/// Where the node lives, and what its handler takes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EmbeddedOrders {
    pub(crate) dir: PathBuf,
    pub(crate) taken: Taken,
}

/// It serves; said once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EmbeddedReady {
    pub(crate) url: String,
}

pub(super) async fn run(orders: EmbeddedOrders) -> Result<(), BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Other(error.to_string());
    let mut inputs = Inputs::of_this_process();
    inputs.arguments.push(("data-dir".to_owned(), orders.dir.display().to_string()));
    // As for the nodes of `vedfolnir dev`: what they tell costs the same, and is not in the way.
    inputs.arguments.push(("log-file".to_owned(), orders.dir.with_extension("log").display().to_string()));
    for (name, value) in [("port", "0"), ("cluster-addr", "127.0.0.1:0"), ("admin-addr", "127.0.0.1:0")] {
        inputs.arguments.push((name.to_owned(), value.to_owned()));
    }
    let config = load(&inputs).map_err(|error| failed(&error))?.config;
    log::init(&config.log, "bench").map_err(|error| failed(&error))?;
    let app = App::builder().namespace("/", |ns| match orders.taken {
        Taken::Args => ns.on("echo", |_: Socket, args: Args| async move { args }),
        Taken::Text => ns.on("echo", |_: Socket, (text,): (String,)| async move { Reply::json(&text) }),
    });
    let server = Server::builder(config).app(app.build()).start().await.map_err(|error| failed(&error))?;
    server.ready().await;
    say(&EmbeddedReady { url: server.report().url.clone() })?;
    // The parent says nothing, and closes the input at the end.
    let over = async { while matches!(hear::<()>().await, Ok(Some(()))) {} };
    server.run_until(over).await.map_err(|error| failed(&error))
}
