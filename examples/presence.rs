//! Who is there: a namespace for each team, each with its own members, on as many nodes as there are.
//!
//! ```sh
//! WEBSOCKET_DATA_DIR=/tmp/presence cargo run --example presence
//! ```
//!
//! Clients connect to `/team-NAME` with `auth: {user}`, all on one level: nobody creates a team.
//!
//! | event | ack |
//! |---|---|
//! | `who()` | `{team, users: {user: sessions}}`, also of clients that are disconnected and may come back |
//! | `say(text)` | `{offset}` once the team, its author too, gets `said(user, text)` |
//! | `roll_call()` | `{present: [user…], silent, silent_nodes}` once everybody else has acknowledged `present?()`, or 2 s later |
//!
//! The others get `came(user)`. When a session is over for good, exactly once and whichever node dies, they get `gone(sid)`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use serde_json::json;
use vedfolnir::app::{App, ConnectAccept, ConnectRefusal, EmitError, EventKind, EventsError, EventsFrom, Handshake};
use vedfolnir::app::{Reply, ServerHandle, Socket};
use vedfolnir::config::{Inputs, load};
use vedfolnir::observability::log;
use vedfolnir::server::Server;

/// How long a client may take to say that it is present.
const ROLL_CALL: Duration = Duration::from_secs(2);

#[derive(serde::Deserialize)]
struct Who {
    user: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = load(&Inputs::of_this_process())?.config;
    log::init(&config.log, "presence")?;
    let app = App::builder().dynamic_namespace("/team-{team}".parse()?, |ns| {
        ns.on_connect(|handshake: Handshake| async move {
            match handshake.auth::<Who>() {
                Ok(Who { user: Some(user) }) if !user.is_empty() => {
                    Ok(ConnectAccept { user: Some(user.into()), ..ConnectAccept::default() })
                }
                _ => Err(ConnectRefusal::new("who are you?").with_data(&json!({"code": "no_user"}))),
            }
        })
        .on_connected(|socket: Socket| async move {
            if !socket.recovered() {
                report(socket.volatile().emit("came", &[socket.user()]));
            }
        })
        .on("who", who)
        .on("say", |socket: Socket, (text,): (String,)| async move {
            match socket.server().emit("said", &[socket.user().unwrap_or_default(), &text]).await {
                Ok(committed) => Reply::json(&json!({"offset": committed.offset()})),
                Err(error) => error.into(),
            }
        })
        .on("roll_call", roll_call)
    });
    let server = Server::builder(config).app(app.build()).start().await?;
    println!("presence on {}", server.report().url);
    let following = server.handle().map(|handle| tokio::spawn(tell_of_the_gone(handle)));
    server.run().await?;
    if let Some(following) = following {
        following.abort();
    }
    log::stop();
    Ok(())
}

async fn who(socket: Socket, (): ()) -> Reply {
    let mut users = BTreeMap::new();
    let mut after = None;
    loop {
        let page = socket.server().users();
        let page = match after {
            Some(user) => page.after(user),
            None => page,
        };
        match page.linearizable().await {
            Ok(page) => {
                users.extend(page.users.into_iter().map(|user| (user.user, user.sessions)));
                after = page.next;
            }
            Err(error) => return error.into(),
        }
        if after.is_none() {
            return Reply::json(&json!({"team": socket.param("team"), "users": users}));
        }
    }
}

async fn roll_call(socket: Socket, (): ()) -> Reply {
    match socket.broadcast().emit_with_acks::<()>("present?", &[]).timeout(ROLL_CALL).await {
        Ok(all) => {
            let mut present: Vec<String> = all.acks.iter().filter_map(|(_, answer)| answer.get(0).ok()).collect();
            present.sort();
            Reply::json(&json!({"present": present, "silent": all.silent.len(), "silent_nodes": all.silent_nodes}))
        }
        Err(error) => error.into(),
    }
}

/// Every node follows the same events, and tells its own clients.
async fn tell_of_the_gone(server: ServerHandle) {
    let mut events = server.events(EventsFrom::Now);
    loop {
        match events.next().await {
            Ok(event) => {
                if let EventKind::Closed { session } | EventKind::Expired { session } = &event.kind
                    && let Some(team) = server.of(&session.namespace)
                {
                    report(team.local().emit("gone", &[&*session.sid]));
                }
            }
            Err(EventsError::Lost { .. }) => tracing::warn!("too far behind: somebody's end was not told"),
            Err(EventsError::Closed) => return,
        }
    }
}

fn report(told: Result<(), EmitError>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the team was not told");
    }
}
