//! The relay: a built-in application with which a bare node is useful. Clients join rooms and publish to them.
//!
//! | event | ack |
//! |---|---|
//! | `join(room)` | `{}` once committed |
//! | `leave(room)` | `{}` once committed |
//! | `rooms()` | the list of rooms, the client's own id among them |
//! | `members(room, {linearizable?})` | the list of ids (1000 at most), the number of all members, `{disconnected}` (those of the list that may come back) |
//! | `publish(room, event, …args)` | `{offset}` once a quorum has it; members get `event(…args)`, the publisher too if it is one |
//! | `publish_volatile(room, event, …args)` | `{}` |
//! | `echo(…args)` | `…args` |
//!
//! Errors are acks `{error: {code, message}}`: `bad_request`, `no_quorum`, `overloaded`, `stale_session`,
//! `limit_exceeded`, `forbidden` (the policy of the namespaces). Without an ack `echo`, `rooms` and `members` do nothing.

use std::sync::Arc;

use super::emit::may_name;
use super::{Action, App, Args, ArgsRefused, EmitError, EventPayload, NamespaceBuilder, Reply, Socket};
use serde::Deserialize;
use serde_json::json;

/// The relay on the root namespace.
#[must_use]
pub fn app() -> App {
    App::builder().namespace("/", handlers).build()
}

/// Its handlers in a namespace.
#[must_use]
pub fn handlers(ns: NamespaceBuilder) -> NamespaceBuilder {
    ns.on("join", |socket: Socket, args: Args| async move {
        change(&args, |room| socket.may(Action::Join(&room)).map(|()| socket.join(room))).await
    })
    .on("leave", |socket: Socket, args: Args| async move { change(&args, |room| Ok(socket.leave(room))).await })
    .on("rooms", |socket: Socket, (): ()| async move {
        let rooms = socket.rooms();
        Reply::json(&rooms.iter().map(AsRef::as_ref).collect::<Vec<&str>>())
    })
    .on("members", members)
    .on("publish", publish)
    .on("publish_volatile", |socket: Socket, args: Args| async move { publish_volatile(&socket, &args) })
    .on("echo", |_: Socket, args: Args| async move { args })
}

async fn change(args: &Args, change: impl FnOnce(Arc<str>) -> Result<super::RoomChange, EmitError>) -> Reply {
    let changed = match room(args).and_then(change) {
        Ok(changing) => changing.await,
        Err(error) => Err(error),
    };
    match changed {
        Ok(()) => Reply::json(&json!({})),
        Err(error) => error.into(),
    }
}

/// What a client may ask of a list of members.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MembersOptions {
    linearizable: bool,
}

async fn members(socket: Socket, args: Args) -> Reply {
    // Who is in a room is for those who may enter it.
    let room = match room(&args).and_then(|room| socket.may(Action::Join(&room)).map(|()| room)) {
        Ok(room) => room,
        Err(error) => return error.into(),
    };
    let options = match args.get::<MembersOptions>(1) {
        Ok(options) => options,
        Err(ArgsRefused::Missing(_)) => MembersOptions::default(),
        Err(error) => return EmitError::BadRequest(format!("members(room, options): {error}")).into(),
    };
    let audience = socket.server().to(room);
    let fetch = audience.fetch_sockets();
    let fetched = if options.linearizable { fetch.linearizable().await } else { fetch.await };
    // The count is read after that, from the same replica: it is no older.
    match (fetched, audience.count().await) {
        (Ok(page), Ok(count)) => {
            let sids: Vec<&str> = page.members.iter().map(|member| member.sid.as_ref()).collect();
            let gone = page.members.iter().filter(|member| !member.connected);
            let disconnected: Vec<&str> = gone.map(|member| member.sid.as_ref()).collect();
            Reply::args(&(sids, count.sessions, json!({"disconnected": disconnected})))
        }
        (Err(error), _) | (_, Err(error)) => error.into(),
    }
}

async fn publish(socket: Socket, args: Args) -> Reply {
    let (room, payload) = match may_publish(&socket, &args) {
        Ok(addressed) => addressed,
        Err(error) => return error.into(),
    };
    match socket.server().to(room).emit_payload(payload).await {
        Ok(committed) => Reply::json(&json!({"offset": committed.offset()})),
        Err(error) => error.into(),
    }
}

fn publish_volatile(socket: &Socket, args: &Args) -> Reply {
    match may_publish(socket, args) {
        Ok((room, payload)) => match socket.server().to(room).volatile().emit_payload(payload) {
            Ok(()) => Reply::json(&json!({})),
            Err(error) => error.into(),
        },
        Err(error) => error.into(),
    }
}

/// What is published where, if the client may.
fn may_publish(socket: &Socket, args: &Args) -> Result<(Arc<str>, EventPayload), EmitError> {
    let (room, payload) = addressed(args)?;
    socket.may(Action::Publish(&room))?;
    Ok((room, payload))
}

/// The room that stands first.
fn room(args: &Args) -> Result<Arc<str>, EmitError> {
    let event = args.event();
    match args.get::<Arc<str>>(0) {
        Ok(room) if !room.is_empty() => may_name(&room).map(|()| room),
        Ok(_) => Err(EmitError::BadRequest(format!("{event}(room, …): the room must not be empty"))),
        Err(error) => Err(EmitError::BadRequest(format!("{event}(room, …): the room must be a string: {error}"))),
    }
}

/// The room, and the event that is published to it.
fn addressed(args: &Args) -> Result<(Arc<str>, EventPayload), EmitError> {
    let room = room(args)?;
    let event: String = args.get(1).map_err(|error| {
        EmitError::BadRequest(format!("{}(room, event, …): the event must be a string: {error}", args.event()))
    })?;
    let (tail, attachments) = args.tail(2);
    Ok((room, EventPayload::with_tail(&event, &tail, attachments)?))
}
