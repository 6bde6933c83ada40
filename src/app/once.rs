//! Emits that are made once under an idempotency key: over retries, nodes and their deaths.
//!
//! ```no_run
//! # use vedfolnir::app::{EmitError, ServerHandle};
//! # async fn example(server: ServerHandle) -> Result<(), EmitError> {
//! // Nobody knows whether an earlier attempt, here or on another node, came through. Now it has, and once.
//! let emitter = server.of("/").expect("a namespace of the application");
//! let once = emitter.to("order:42").once("order:42:shipped").emit("shipped", &["today"]).await?;
//! println!("at {:?}, by an earlier attempt: {}", once.committed.offset(), once.is_repetition);
//! # Ok(()) }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ring::digest;
use serde::Serialize;
use vedfolnir_cluster::state::{Command, ContentHash, OnceKey, PublishOnce, Record};

use super::emit::{Committed, Emission, EmitError, Emitter, Proposed, Settled};
use super::payload::EventPayload;

/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// What the key of an emit is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters")]
pub struct BadKey;

/// An idempotency key. The keys of all applications and tokens of a cluster are one space: a key that others may choose too
/// begins with what is yours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(OnceKey);

impl IdempotencyKey {
    /// What a request shows.
    pub(crate) fn of(text: &str) -> Result<Self, BadKey> {
        let is_key =
            (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key { Ok(Self(OnceKey(hash(&[b"vedfolnir idempotency key", text.as_bytes()])))) } else { Err(BadKey) }
    }

    /// That of the publish in this place of a request which makes several under one key; that in place 0 is the key itself.
    pub(crate) fn at(self, place: usize) -> Self {
        match place {
            0 => self,
            _ => {
                Self(OnceKey(hash(&[b"vedfolnir idempotency key of a part", &self.0.0, place.to_string().as_bytes()])))
            }
        }
    }
}

/// Whether a text can be an idempotency key.
///
/// # Errors
/// [`BadKey`].
pub fn check_idempotency_key(text: &str) -> Result<(), BadKey> {
    IdempotencyKey::of(text).map(drop)
}

/// What a request asks for, as one of these parts.
pub(crate) fn content_of(parts: &[&[u8]]) -> ContentHash {
    ContentHash(hash(parts))
}

/// The first half of a SHA-256; where one part ends is part of it.
fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&context.finish().as_ref()[..16]);
    half
}

/// What is emitted, and to whom.
fn content_of_record(record: &Record) -> ContentHash {
    let Record { namespace, rooms, except, payload } = record;
    let counts = [rooms.len(), except.len()].map(|count| (count as u64).to_be_bytes());
    let mut parts: Vec<&[u8]> = vec![b"vedfolnir emit", namespace.as_bytes(), &counts[0], &counts[1]];
    parts.extend(rooms.iter().chain(except).map(|name| name.as_bytes()));
    parts.push(&payload.text);
    parts.extend(payload.attachments.iter().map(|attachment| &attachment[..]));
    content_of(&parts)
}

/// An emit under an idempotency key.
///
/// The first emit under a key is made; each later one, on whichever node, is answered as the first was and changes nothing.
/// Keys are kept with the state for 24 hours of cluster time and 500,000 of them at least.
#[derive(Clone)]
#[must_use = "an emitter does nothing until it emits"]
pub struct Once {
    emitter: Emitter,
    key: Result<IdempotencyKey, BadKey>,
    content: Option<ContentHash>,
}

impl Once {
    pub(crate) fn new(emitter: Emitter, key: Result<IdempotencyKey, BadKey>) -> Self {
        Self { emitter, key, content: None }
    }

    /// A repetition is told by this, and not by what is emitted.
    pub(crate) fn content(self, content: ContentHash) -> Self {
        Self { content: Some(content), ..self }
    }

    /// Emits durably. It is proposed by this very call; the future tells when a quorum has it, or had.
    pub fn emit<T: Serialize>(self, event: &str, args: &[T]) -> OnceEmission {
        match EventPayload::new(event, args) {
            Ok(payload) => self.emit_payload(payload),
            Err(error) => self.refused(error),
        }
    }

    /// Emits a checked event durably, like [`Once::emit`].
    pub fn emit_payload(mut self, payload: EventPayload) -> OnceEmission {
        let key = match self.key {
            Ok(IdempotencyKey(key)) => key,
            Err(error) => return self.refused(EmitError::BadRequest(error.to_string())),
        };
        let record = self.emitter.record(payload);
        let content = self.content.unwrap_or_else(|| content_of_record(&record));
        // What this replica has, is committed: it need not go through the log again.
        if let Some(known) = self.emitter.known_once(&key, content) {
            return OnceEmission(self.emitter.emission(Proposed::Known(known), None));
        }
        let command = |publish| Command::PublishOnce(PublishOnce { publish, key, content });
        let mut emission = self.emitter.propose(Arc::clone(&record), command);
        emission.once = Some((key, content));
        OnceEmission(emission)
    }

    /// Whether this replica knows that it has been made; what it does not know may have been made elsewhere a moment ago.
    pub(crate) fn is_repetition(&self) -> bool {
        let (Ok(IdempotencyKey(key)), Some(content)) = (self.key, self.content) else { return false };
        matches!(self.emitter.known_once(&key, content), Some(Ok(_)))
    }

    fn refused(self, error: EmitError) -> OnceEmission {
        OnceEmission(self.emitter.emission(Proposed::Known(Err(error)), None))
    }
}

/// A durable emit that a quorum has, and has once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedOnce {
    /// Where the first emit under the key is.
    pub committed: Committed,
    /// It is not this emit but an earlier one that is there. (False also where a snapshot took the answer away.)
    pub is_repetition: bool,
}

/// An emit under an idempotency key on its way. Dropped, it goes on.
#[must_use = "the emit goes on without being awaited, but then nobody learns whether a quorum has it"]
pub struct OnceEmission(Emission);

impl Future for OnceEmission {
    type Output = Result<CommittedOnce, EmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let done = |Settled { committed, is_repetition }| CommittedOnce { committed, is_repetition };
        self.0.poll_settled(cx).map(|settled| settled.map(done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii_and_parts_have_keys_of_their_own() {
        for bad in ["", " ", "a b", "a\tb", "ä", "\u{7f}", &"x".repeat(256)] {
            assert_eq!(IdempotencyKey::of(bad), Err(BadKey), "{bad:?}");
        }
        let key = IdempotencyKey::of(&"x".repeat(255)).expect("a key");
        let keys: Vec<OnceKey> = (0..1_000).map(|place| key.at(place).0).collect();
        assert_eq!(keys[0], key.0);
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 1_000);
        assert_ne!(IdempotencyKey::of("a"), IdempotencyKey::of("A"));
    }

    #[test]
    fn where_a_part_ends_makes_another_content() {
        assert_ne!(content_of(&[b"ab", b"c"]), content_of(&[b"a", b"bc"]));
        assert_ne!(content_of(&[b"ab"]), content_of(&[b"ab", b""]));
    }
}
