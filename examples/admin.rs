//! A namespace for administrators beside the one for everybody: who has no good token is told why, and on every node the
//! application says how it is.
//!
//! ```sh
//! ADMIN_TOKEN=secret WEBSOCKET_DATA_DIR=/tmp/admin cargo run --example admin
//! ```
//!
//! Clients of `/admin` bring `auth: {token}`; without a good one their `connect_error` has `data.code`, `no_token` or
//! `bad_token`. (Tokens that name users and roles need no code: `WEBSOCKET_AUTH_*`, and `Socket::has_role`.)
//!
//! | event of `/admin` | ack |
//! |---|---|
//! | `announce(text)` | `{offset}` once all clients of `/` get `announcement(text)`; the other nodes are told, too |
//! | `nodes()` | `{nodes: {node: {clients, announcements}}, silent: [node…]}`: what each node says within 2 s: how many clients `/` has by its replica, how many announcements it has heard of |

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use vedfolnir::app::{App, ConnectRefusal, Handshake, Reply, ServerHandle, ServerSide, Socket};
use vedfolnir::config::{Inputs, load};
use vedfolnir::observability::log;
use vedfolnir::server::Server;

/// How long the other nodes may take to say how they are.
const NODES_WITHIN: Duration = Duration::from_secs(2);

#[derive(serde::Deserialize)]
struct Credentials {
    token: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let token: Arc<str> = std::env::var("ADMIN_TOKEN").map_err(|error| format!("ADMIN_TOKEN: {error}"))?.into();
    let config = load(&Inputs::of_this_process())?.config;
    log::init(&config.log, "admin")?;
    // Announcements that this node has heard of.
    let heard = Arc::new(AtomicU64::new(0));
    let (announced, told, asked) = (Arc::clone(&heard), Arc::clone(&heard), Arc::clone(&heard));
    let app = App::builder()
        .namespace("/", |ns| ns)
        .namespace("/admin", |ns| {
            ns.check_connect(move |handshake: Handshake| {
                let checked = check(&handshake, &token);
                async move { checked }
            })
            .on("announce", move |socket: Socket, (text,): (String,)| announce(socket, text, Arc::clone(&announced)))
            .on("nodes", move |socket: Socket, (): ()| nodes(socket.handle(), heard.load(Ordering::Relaxed)))
        })
        .on_server_side("announced", move |_: ServerSide, (): ()| {
            told.fetch_add(1, Ordering::Relaxed);
            async {}
        })
        .on_server_side("how are you?", move |here: ServerSide, (): ()| {
            let announcements = asked.load(Ordering::Relaxed);
            async move { Reply::json(&how_it_is(here.server(), announcements).await) }
        });
    let server = Server::builder(config).app(app.build()).start().await?;
    println!("admin on {}", server.report().url);
    server.run().await?;
    log::stop();
    Ok(())
}

fn check(handshake: &Handshake, expected: &str) -> Result<(), ConnectRefusal> {
    let refused = |message: &str, code: &str| Err(ConnectRefusal::new(message).with_data(&json!({ "code": code })));
    match handshake.auth::<Credentials>() {
        Ok(Credentials { token: Some(token) }) => {
            // As long for a token that is nearly right as for any other of its length.
            if token.as_bytes().ct_eq(expected.as_bytes()).into() {
                return Ok(());
            }
            refused("this token is not good", "bad_token")
        }
        Ok(Credentials { token: None }) => refused("a token is needed", "no_token"),
        Err(_) => refused("the token must be a text", "bad_token"),
    }
}

async fn announce(socket: Socket, text: String, announced: Arc<AtomicU64>) -> Reply {
    let server = socket.handle();
    let Some(everybody) = server.of("/") else { return Reply::none() };
    match everybody.emit("announcement", &[text]).await {
        Ok(committed) => {
            announced.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = server.server_side_emit::<()>("announced", &[]) {
                tracing::warn!(%error, "the other nodes count wrong from now on");
            }
            Reply::json(&json!({"offset": committed.offset()}))
        }
        Err(error) => error.into(),
    }
}

async fn nodes(server: ServerHandle, announcements: u64) -> Reply {
    let others = match server.server_side_emit_with_acks::<()>("how are you?", &[]).timeout(NODES_WITHIN).await {
        Ok(others) => others,
        Err(error) => return error.into(),
    };
    let mut nodes: BTreeMap<String, Value> = BTreeMap::new();
    nodes.insert(server.node(), how_it_is(&server, announcements).await);
    nodes.extend(others.acks.into_iter().filter_map(|(node, answer)| Some((node, answer.get(0).ok()?))));
    Reply::json(&json!({"nodes": nodes, "silent": others.silent}))
}

/// What a node says.
async fn how_it_is(server: &ServerHandle, announcements: u64) -> Value {
    let clients = match server.presence("/").count().await {
        Ok(count) => json!(count.sessions),
        Err(error) => json!(error.to_string()),
    };
    json!({"clients": clients, "announcements": announcements})
}
