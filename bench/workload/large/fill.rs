//! Fills the state through the front door: clients that connect, join their rooms and vanish; then the history.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use vedfolnir_chaos::client::{Client, LinkError, Message, is_refused};

use super::{LOOK_EVERY, Large};
use crate::error::BenchError;
use crate::report::Report;
use crate::scrape::Page;
use crate::workload::state::Random;

/// Sessions that share a room.
const ROOM_SESSIONS: usize = 10;
/// Publishes under way while the history is filled.
const PUBLISHES_IN_FLIGHT: usize = 128;
/// How often a client tries again that found its node busy.
const ATTEMPTS_MAX: usize = 50;
const RETRY_PAUSE: Duration = Duration::from_millis(200);

impl Large<'_> {
    pub(super) async fn fill_sessions(&self, report: &mut Report) -> Result<(), BenchError> {
        let began = Instant::now();
        let done = Cell::new(0_usize);
        let done = &done;
        stream::iter(0..self.arguments.sessions)
            .map(|number| async move {
                self.leave_a_session(number).await?;
                done.set(done.get() + 1);
                if done.get().is_multiple_of(100_000) {
                    self.say(&format!("{} sessions", done.get()));
                }
                Ok::<_, BenchError>(())
            })
            .buffer_unordered(self.arguments.concurrency)
            .try_collect::<Vec<()>>()
            .await?;
        let sessions = self.arguments.sessions as f64;
        self.all("vedfolnir_sessions{state=\"disconnected\"}", |disconnected| disconnected >= sessions).await?;
        report.figure("sessions opened, joined and left", sessions / began.elapsed().as_secs_f64(), "/s");
        self.say("all sessions are inside their recovery window");
        Ok(())
    }

    async fn leave_a_session(&self, number: usize) -> Result<(), BenchError> {
        let endpoint = &self.endpoints[number % self.endpoints.len()];
        let mut attempt = 1;
        loop {
            let left = async {
                let mut client = Client::connect(endpoint).await?;
                let mut open = self.arguments.rooms;
                for room in 0..open {
                    client.queue("join", |out| {
                        out.extend_from_slice(format!(",\"{}\"", room_of(room, number)).as_bytes());
                    });
                }
                while open > 0 {
                    client
                        .receive(|message, _| {
                            if let Message::Ack(_, args) = message {
                                if is_refused(args) {
                                    let error = String::from_utf8_lossy(args.text()).into_owned();
                                    return Err(LinkError::Protocol(error));
                                }
                                open -= 1;
                            }
                            Ok(())
                        })
                        .await?;
                }
                client.link.vanish()
            };
            match left.await {
                Ok(()) => return Ok(()),
                Err(_) if attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(source) => return Err(BenchError::Connect { url: endpoint.url.clone(), source }),
            }
        }
    }

    /// Publishes to rooms of the sessions until the history is full.
    pub(super) async fn fill_history(&self, report: &mut Report) -> Result<(), BenchError> {
        let began = Instant::now();
        let bytes_max = (self.arguments.history_mib << 20) as f64;
        let url = &self.cluster.nodes[0].url;
        let mut client = Client::connect(&self.endpoints[0]).await?;
        let mut random = Random(self.arguments.seed);
        let text = "x".repeat(self.arguments.payload);
        let mut under_way = 0;
        let mut looked = Instant::now();
        loop {
            while under_way < PUBLISHES_IN_FLIGHT {
                let room = room_of(0, random.below(self.arguments.sessions));
                client.queue("publish", |out| {
                    out.extend_from_slice(format!(",\"{room}\",\"m\",0,\"{text}\"").as_bytes());
                });
                under_way += 1;
            }
            client
                .receive(|message, _| {
                    if let Message::Ack(..) = message {
                        under_way -= 1;
                    }
                    Ok(())
                })
                .await?;
            if looked.elapsed() > LOOK_EVERY {
                looked = Instant::now();
                // What a few more would exceed is full: the last record that fits leaves a rest.
                let rest = 4.0 * (self.arguments.payload as f64 + 1024.0);
                if Page::of(url).await?.value("vedfolnir_history_bytes")? >= bytes_max * 0.999 - rest {
                    break;
                }
            }
        }
        let page = Page::of(url).await?;
        report.figure("history", page.value("vedfolnir_history_bytes")? / f64::from(1 << 20), "MiB");
        report.figure("records in it", page.value("vedfolnir_history_records")?, "");
        self.say(&format!("the history is full after {:.1} s", began.elapsed().as_secs_f64()));
        Ok(())
    }
}

pub(super) fn room_of(kind: usize, number: usize) -> String {
    format!("room-{kind}-{:08}", number / ROOM_SESSIONS)
}
