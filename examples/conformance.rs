//! A server for conformance suites of Socket.IO and of Engine.IO: says what it was told.
//!
//! ```sh
//! WEBSOCKET_DATA_DIR=/tmp/conformance cargo run --example conformance -- --port 3000 --ping-interval 300ms --ping-timeout 200ms
//! ```
//!
//! On the path `/engine.io/` it speaks Engine.IO alone, and each message, text or binary, comes back. On `/socket.io/`, in the
//! namespaces `/` and `/custom`, each client gets `auth` with what it authenticated with, right after its CONNECT.
//! `message(…)` comes back as `message-back(…)`, `message-with-ack(…)` is acknowledged with its arguments, anything else is
//! not answered. `--recovery on` lets clients resume; suites expect it to be off, since it adds an offset to events. All
//! other options are those of `vedfolnir start`.

use std::error::Error;

use bytes::Bytes;
use vedfolnir::app::{App, Args, ConnectAccept, ConnectRefusal, EventPayload, Handshake, NamespaceBuilder, Socket};
use vedfolnir::config::{Inputs, load};
use vedfolnir::observability::log;
use vedfolnir::server::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut inputs = Inputs::of_this_process();
    let mut recovery = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let option = name.strip_prefix("--").ok_or_else(|| format!("{name} is no option: --NAME VALUE"))?;
        let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
        match (option, value.as_str()) {
            ("recovery", "on") => recovery = true,
            ("recovery", "off") => recovery = false,
            ("recovery", _) => return Err("--recovery is on or off".into()),
            _ => inputs.arguments.push((option.to_owned(), value)),
        }
    }
    let config = load(&inputs)?.config;
    log::init(&config.log, "conformance")?;
    let behaves = |ns: NamespaceBuilder| conforming(ns.recovery(recovery));
    let app = App::builder().engine_io("/engine.io/", Some).namespace("/", behaves).namespace("/custom", behaves);
    let server = Server::builder(config).app(app.build()).start().await?;
    println!("conformance on {}", server.report().url);
    server.run().await?;
    log::stop();
    Ok(())
}

fn conforming(ns: NamespaceBuilder) -> NamespaceBuilder {
    ns.on_connect(|handshake: Handshake| async move {
        let data = handshake.auth.unwrap_or(Bytes::from_static(b"{}"));
        Ok::<_, ConnectRefusal>(ConnectAccept { data, ..ConnectAccept::default() })
    })
    .on_connected(|socket: Socket| async move {
        let auth = [b"[", &socket.data()[..], b"]"].concat();
        say(&socket, "auth", &auth, Vec::new()).await;
    })
    .on("message", |socket: Socket, args: Args| async move {
        let (arguments, attachments) = args.tail(0);
        say(&socket, "message-back", &arguments, attachments).await;
    })
    .on("message-with-ack", |_: Socket, args: Args| async move { args })
    .fallback(|_: Socket, args: Args| async move { tracing::debug!(event = %args.event(), "nobody handles this") })
}

/// A client that is gone meanwhile needs no answer.
async fn say(socket: &Socket, event: &str, arguments: &[u8], attachments: Vec<Bytes>) {
    let said = match EventPayload::with_tail(event, arguments, attachments) {
        Ok(payload) => socket.server().to(socket.sid()).emit_payload(payload).await,
        Err(error) => Err(error),
    };
    if let Err(error) = said {
        tracing::warn!(%error, event, "not said");
    }
}
