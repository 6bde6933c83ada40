//! A Socket.IO client on the root namespace, with the memory that a resume needs.

use super::LinkError;
use super::packet::{self, Args, Packet};
use super::websocket::{Endpoint, Link, Outbox};

/// What the server called this session, and how far the client has read.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The public id.
    pub sid: String,
    /// The bearer secret that resumes the session; empty where the server offers none.
    pub pid: String,
    /// The last offset that came with an event; none before the first event.
    pub offset: Option<String>,
}

/// What a workload handles; everything else is handled here.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// An event's arguments, its name first.
    Event(Args<'a>),
    /// The ack of the event sent with this id.
    Ack(u64, Args<'a>),
}

/// A connected client.
pub struct Client {
    /// Its session.
    pub session: Session,
    /// Its WebSocket.
    pub link: Link,
    next_id: u64,
    scratch: Vec<u8>,
}

#[derive(serde::Deserialize)]
struct Connected {
    sid: String,
    #[serde(default)]
    pid: String,
}

impl Client {
    /// Connects as a stock client does: transport, open packet, CONNECT, its answer.
    ///
    /// # Errors
    /// Nobody answers, or it is refused.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, LinkError> {
        Self::start(endpoint, None, |_| {}).await
    }

    /// Connects with the pid and offset of an earlier session. What arrives together with the answer (the beginning of
    /// the replay) is handed to `each`. Whether it was resumed shows in the pid.
    ///
    /// # Errors
    /// Nobody answers, or it is refused.
    pub async fn resume(
        endpoint: &Endpoint,
        session: &Session,
        each: impl FnMut(Message<'_>),
    ) -> Result<Self, LinkError> {
        Self::start(endpoint, Some(session), each).await
    }

    async fn start(
        endpoint: &Endpoint,
        earlier: Option<&Session>,
        mut each: impl FnMut(Message<'_>),
    ) -> Result<Self, LinkError> {
        let mut link = Link::open(endpoint).await?;
        let mut auth = endpoint.auth.clone();
        if let Some(Session { pid, offset, .. }) = earlier {
            auth.insert("pid".to_owned(), pid.as_str().into());
            auth.extend(offset.as_deref().map(|offset| ("offset".to_owned(), offset.into())));
        }
        let connect = match auth.is_empty() {
            true => "40".to_owned(),
            false => format!("40{}", serde_json::Value::Object(auth)),
        };
        let mut connected: Option<Connected> = None;
        while connected.is_none() {
            link.receive(|text, outbox| {
                match packet::parse(text) {
                    Packet::Open => outbox.text(connect.as_bytes()),
                    Packet::Connect(object) => {
                        connected = Some(
                            serde_json::from_slice(object).map_err(|error| LinkError::Protocol(error.to_string()))?,
                        );
                    }
                    Packet::ConnectError(object) => {
                        return Err(LinkError::ConnectError(String::from_utf8_lossy(object).into_owned()));
                    }
                    other => answer(other, text, outbox, &mut |message, _| {
                        if connected.is_none() {
                            return Err(LinkError::Protocol("an event before the CONNECT reply".to_owned()));
                        }
                        each(message);
                        Ok(())
                    })?,
                }
                Ok(())
            })
            .await?;
        }
        let Some(Connected { sid, pid }) = connected else { return Err(LinkError::Closed) };
        let offset = earlier.filter(|earlier| earlier.pid == pid).and_then(|earlier| earlier.offset.clone());
        Ok(Self { session: Session { sid, pid, offset }, link, next_id: 0, scratch: Vec::new() })
    }

    /// Waits for data and hands every event and ack to `each`. Pings are answered. Cancel-safe.
    ///
    /// # Errors
    /// The connection is of no use any more, or `each` says so.
    pub async fn receive(
        &mut self,
        mut each: impl FnMut(Message<'_>, &mut Outbox) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        self.link.receive(|text, outbox| answer(packet::parse(text), text, outbox, &mut each)).await
    }

    /// Queues `event(args…)` with an ack; `args` is written as JSON, each with a comma before it. Returns the ack's id.
    pub fn queue(&mut self, event: &str, args: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        packet::event_head(&mut self.scratch, id, event);
        args(&mut self.scratch);
        self.scratch.push(b']');
        self.link.outbox.text(&self.scratch);
        id
    }

    /// Joins a room and waits until that is committed; events that come meanwhile are let go.
    ///
    /// # Errors
    /// The connection broke, or the join is refused.
    pub async fn join(&mut self, room: &str) -> Result<(), LinkError> {
        let join = self.queue("join", |out| out.extend_from_slice(format!(",\"{room}\"").as_bytes()));
        let mut joined = false;
        while !joined {
            self.receive(|message, _| {
                if let Message::Ack(id, args) = message
                    && id == join
                {
                    refused(args)?;
                    joined = true;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// The relay answers an error with an ack `{error: …}`.
#[must_use]
pub fn is_refused(args: Args<'_>) -> bool {
    args.text().starts_with(b"{\"error\"")
}

fn refused(args: Args<'_>) -> Result<(), LinkError> {
    match is_refused(args) {
        true => Err(LinkError::Protocol(String::from_utf8_lossy(args.text()).into_owned())),
        false => Ok(()),
    }
}

fn answer(
    packet: Packet<'_>,
    text: &[u8],
    outbox: &mut Outbox,
    each: &mut impl FnMut(Message<'_>, &mut Outbox) -> Result<(), LinkError>,
) -> Result<(), LinkError> {
    match packet {
        Packet::Event(args) => each(Message::Event(args), outbox),
        Packet::Ack(id, args) => each(Message::Ack(id, args), outbox),
        Packet::Ping => {
            outbox.text(b"3");
            Ok(())
        }
        Packet::Noop => Ok(()),
        Packet::Close | Packet::Disconnect => Err(LinkError::Closed),
        Packet::ConnectError(object) => Err(LinkError::ConnectError(String::from_utf8_lossy(object).into_owned())),
        Packet::Open | Packet::Connect(_) | Packet::Unknown => {
            Err(LinkError::Protocol(format!("unexpected packet: {}", String::from_utf8_lossy(text))))
        }
    }
}
