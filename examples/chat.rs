//! A chat: whoever enters a room is asked to introduce itself, with a picture if it likes, and is heard there from then on.
//!
//! ```sh
//! WEBSOCKET_DATA_DIR=/tmp/chat cargo run --example chat [-- --introduce-within SECONDS]
//! ```
//!
//! | event | ack |
//! |---|---|
//! | `enter(room)` | The client gets `introduce(room)`, which it acknowledges with `(name, picture)`. `{offset}` once the room knows: `entered(name, picture)` |
//! | `say(room, text)` | `{offset}` once the room, its author too, gets `said(sid, text)` |
//!
//! Rooms get `gone(sid, reason)` when a connection ends. Errors are acks `{error: {code, message}}`. All settings of
//! `vedfolnir start` hold, as environment variables: several of these make a cluster.

use std::error::Error;
use std::time::Duration;

use serde_json::json;
use vedfolnir::app::{ACK_TIMEOUT, App, CloseReason, EmitError, EventPayload, Reply, Socket};
use vedfolnir::config::{Inputs, load};
use vedfolnir::observability::log;
use vedfolnir::server::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = load(&Inputs::of_this_process())?.config;
    log::init(&config.log, "chat")?;
    let server = Server::builder(config).app(chat(introduce_within()?)).start().await?;
    println!("chat on {}", server.report().url);
    server.run().await?;
    log::stop();
    Ok(())
}

/// How long a client may take to introduce itself.
fn introduce_within() -> Result<Duration, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(ACK_TIMEOUT),
        (Some("--introduce-within"), Some(seconds)) => Ok(Duration::try_from_secs_f64(seconds.parse()?)?),
        (Some(other), _) => Err(format!("{other}: accepted is --introduce-within SECONDS").into()),
    }
}

fn chat(introduce_within: Duration) -> App {
    App::builder()
        .namespace("/", |ns| {
            ns.on("enter", move |socket: Socket, (room,): (String,)| enter(socket, room, introduce_within))
                .on("say", say)
                .on_disconnect(|socket: Socket, reason: CloseReason| async move {
                    // Before anything is waited for: a session that has ended may not emit.
                    let rooms = socket.rooms();
                    let others = rooms.into_iter().filter(|room| **room != *socket.sid());
                    let telling: Vec<_> =
                        others.map(|room| socket.to(room).emit("gone", &[socket.sid(), reason.as_str()])).collect();
                    for told in telling {
                        if let Err(error) = told.await {
                            tracing::warn!(%error, "a room was not told that somebody is gone");
                        }
                    }
                })
        })
        .build()
}

async fn enter(socket: Socket, room: String, within: Duration) -> Reply {
    let introduction = match socket.emit_with_ack("introduce", &[&room]).timeout(within).await {
        Ok(introduction) => introduction,
        Err(error) => return error.into(),
    };
    if introduction.get::<String>(0).is_err() {
        return Reply::error("bad_request", "introduce(room) is acknowledged with (name, picture)");
    }
    if let Err(error) = socket.join(room.as_str()).await {
        return error.into();
    }
    // As it came, the picture among it: nothing of it is parsed again.
    let (arguments, attachments) = introduction.tail(0);
    match EventPayload::with_tail("entered", &arguments, attachments) {
        Ok(entered) => told(socket.server().to(room).emit_payload(entered).await.map(|committed| committed.offset())),
        Err(error) => error.into(),
    }
}

async fn say(socket: Socket, (room, text): (String, String)) -> Reply {
    if !socket.rooms().iter().any(|entered| **entered == *room) {
        return Reply::error("forbidden", "enter the room first");
    }
    let said = socket.server().to(room).emit("said", &[socket.sid(), &text]);
    told(said.await.map(|committed| committed.offset()))
}

fn told(offset: Result<Option<String>, EmitError>) -> Reply {
    match offset {
        Ok(offset) => Reply::json(&json!({ "offset": offset })),
        Err(error) => error.into(),
    }
}
