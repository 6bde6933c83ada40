//! What one resume costs at the client's door, by how much the client missed: it pays for that, not for the history.

use std::time::Instant;

use vedfolnir_chaos::client::{Client, LinkError, Message, Session, packet};

use super::Large;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;

const MISSED: [usize; 3] = [0, 10, 1000];

impl Large<'_> {
    pub(super) async fn measure_resumes(&self, report: &mut Report) -> Result<(), BenchError> {
        let mut publisher = Client::connect(&self.endpoints[0]).await?;
        for missed in MISSED {
            let (mut connected, mut caught_up) = (Histogram::default(), Histogram::default());
            let mut recovered = 0;
            for turn in 0..self.arguments.resumes {
                let session = self.leave(&mut publisher, turn).await?;
                publish(&mut publisher, &session.sid, missed).await?;
                // On another node than the one it was on.
                let endpoint = &self.endpoints[(turn + 1) % self.endpoints.len()];
                let began = Instant::now();
                let mut seen = 0;
                let mut client = Client::resume(endpoint, &session, |_| seen += 1).await?;
                connected.record(began.elapsed().as_nanos() as u64);
                if client.session.pid == session.pid {
                    recovered += 1;
                    while seen < missed {
                        client
                            .receive(|message, _| {
                                seen += usize::from(matches!(message, Message::Event(_)));
                                Ok(())
                            })
                            .await?;
                    }
                    caught_up.record(began.elapsed().as_nanos() as u64);
                }
                client.link.vanish()?;
            }
            let name = format!("resume that missed {missed}:");
            report.percentiles(&format!("{name} CONNECT"), &connected);
            report.percentiles(&format!("{name} caught up"), &caught_up);
            if recovered < self.arguments.resumes {
                report.broken.push(format!("{name} {recovered} of {} were recovered", self.arguments.resumes));
            }
        }
        self.say("resumes are measured");
        Ok(())
    }

    /// A session that has read one message, so that it has an offset, and is gone.
    async fn leave(&self, publisher: &mut Client, turn: usize) -> Result<Session, BenchError> {
        let mut client = Client::connect(&self.endpoints[turn % self.endpoints.len()]).await?;
        client.join("resumes").await?;
        let sid = client.session.sid.clone();
        publish(publisher, &sid, 1).await?;
        let mut offset = None;
        while offset.is_none() {
            client
                .receive(|message, _| {
                    if let Message::Event(args) = message {
                        let last = args.last().and_then(packet::string);
                        offset = last.map(|text| String::from_utf8_lossy(text).into_owned());
                    }
                    Ok(())
                })
                .await?;
        }
        client.session.offset = offset;
        let session = client.session.clone();
        client.link.vanish()?;
        Ok(session)
    }
}

/// Publishes to a room and waits until all of it is committed.
async fn publish(client: &mut Client, room: &str, count: usize) -> Result<(), LinkError> {
    for number in 0..count {
        client.queue("publish", |out| {
            out.extend_from_slice(format!(",\"{room}\",\"m\",{number},\"{}\"", "x".repeat(64)).as_bytes());
        });
    }
    let mut acked = 0;
    while acked < count {
        client
            .receive(|message, _| {
                acked += usize::from(matches!(message, Message::Ack(..)));
                Ok(())
            })
            .await?;
    }
    Ok(())
}
