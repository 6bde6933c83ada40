//! Progress notifications: a user starts a job, and all devices of that user hear how it goes; what one missed while it was
//! disconnected, or while its node died, it gets when it comes back.
//!
//! ```sh
//! WEBSOCKET_DATA_DIR=/tmp/progress cargo run --example progress
//! ```
//!
//! Clients connect with `auth: {user}`. Several nodes make a cluster; a job goes on only as long as the node that it was
//! started on.
//!
//! | event | ack |
//! |---|---|
//! | `start(job, steps, pause_ms)` | `{}`; the user's devices get `progress(job, step, steps)` for each step, then `done(job)` |

use std::error::Error;
use std::time::Duration;

use serde_json::json;
use vedfolnir::app::{App, ConnectAccept, ConnectRefusal, EmitError, Emitter, Handshake, Reply, Socket};
use vedfolnir::config::{Inputs, load};
use vedfolnir::observability::log;
use vedfolnir::server::Server;

const STEPS_MAX: u32 = 10_000;
const PAUSE_MS_MAX: u64 = 60_000;

#[derive(serde::Deserialize)]
struct Who {
    user: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = load(&Inputs::of_this_process())?.config;
    log::init(&config.log, "progress")?;
    let app = App::builder().namespace("/", |ns| {
        ns.on_connect(|handshake: Handshake| async move {
            let Who { user } = handshake.auth().map_err(|error| ConnectRefusal::new(format!("auth: {error}")))?;
            Ok(ConnectAccept { user: Some(user.into()), ..ConnectAccept::default() })
        })
        .on_connected(|socket: Socket| async move {
            // Somebody who has come back is in the room still.
            if !socket.recovered()
                && let Err(error) = socket.join(room_of(&socket)).await
            {
                tracing::warn!(%error, "a device will not hear of its user's jobs");
            }
        })
        .on("start", |socket: Socket, (job, steps, pause_ms): (String, u32, u64)| async move {
            if steps > STEPS_MAX || pause_ms > PAUSE_MS_MAX {
                let accepted = format!("at most {STEPS_MAX} steps, {PAUSE_MS_MAX} ms between them");
                return Reply::error("bad_request", &accepted);
            }
            let Some(server) = socket.handle().of(socket.namespace()) else { return Reply::none() };
            let devices = server.to(room_of(&socket));
            // Not on the client's behalf: the job goes on when its client has left.
            tokio::spawn(async move {
                if let Err(error) = run(devices, &job, steps, Duration::from_millis(pause_ms)).await {
                    tracing::warn!(%error, job, "a job's progress is not known to its user");
                }
            });
            Reply::json(&json!({}))
        })
    });
    let server = Server::builder(config).app(app.build()).start().await?;
    println!("progress on {}", server.report().url);
    server.run().await?;
    log::stop();
    Ok(())
}

fn room_of(socket: &Socket) -> String {
    format!("user:{}", socket.user().unwrap_or_default())
}

/// The job, were it one.
async fn run(devices: Emitter, job: &str, steps: u32, pause: Duration) -> Result<(), EmitError> {
    for step in 1..=steps {
        tokio::time::sleep(pause).await;
        devices.clone().emit("progress", &[json!(job), json!(step), json!(steps)]).await?;
    }
    devices.emit("done", &[job]).await.map(drop)
}
