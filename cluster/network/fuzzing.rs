//! Doors for the package fuzz: what peers and strangers say first, and the frames around everything that they say.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::CertificateDer;

use super::frame::{self, FrameBuffer, FrameError, FrameKind};
use super::hello::{self, LocalIdentity, PeerIdentity};
use super::{enrol, named};

/// Cuts frames out of chunks.
#[derive(Default)]
pub struct Frames(FrameBuffer);

/// A frame.
pub struct Cut {
    kind: FrameKind,
    /// What is in it.
    pub body: Bytes,
}

impl Frames {
    /// More bytes have come.
    pub fn push(&mut self, chunk: &[u8]) {
        self.0.push(chunk);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn next_frame(&mut self) -> Result<Option<Cut>, FrameError> {
        Ok(self.0.next_frame()?.map(|frame| Cut { kind: frame.kind, body: frame.body }))
    }

    /// Whether the stream may end here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Cut {
    /// Writes it again.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn append_to(&self, buffer: &mut BytesMut) -> Result<(), FrameError> {
        frame::append(buffer, self.kind, &self.body)
    }
}

/// What a peer's Hello comes to; `None`: the connection ends.
#[must_use]
pub fn hello(body: &[u8], local: &LocalIdentity, from: SocketAddr) -> Option<PeerIdentity> {
    hello::check(body, local, from).ok()
}

/// This node's own.
#[must_use]
pub fn own_hello(local: &LocalIdentity) -> Bytes {
    hello::encode(local)
}

/// A stranger's request without its version, and with it again.
#[must_use]
pub fn enrol_again(body: &[u8]) -> Option<(Bytes, Vec<u8>)> {
    let request = enrol::unwrap(body)?;
    let again = enrol::wrap(&request);
    Some((request, again))
}

/// The node that a certificate names.
#[must_use]
pub fn named_node(der: &[u8]) -> Option<u64> {
    named::named_node(&CertificateDer::from(der)).ok().flatten()
}
