//! The two unary gRPC calls of etcd's API v3 that a measurement needs: `KV.Put` and `Maintenance.Status`.
//!
//! gRPC is HTTP/2 with a prefix of five bytes before each message (not compressed, length) and the outcome in the trailers;
//! the messages are Protocol Buffers with a handful of fields.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{Request, header};
use tokio::net::TcpStream;

use crate::error::BenchError;

const PUT: &str = "/etcdserverpb.KV/Put";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";
const PREFIX_BYTES: usize = 5;

/// A connection; its clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    addr: SocketAddr,
    sender: SendRequest<Bytes>,
}

/// Who a member is, and whom it takes for the leader; 0: nobody.
pub(super) struct Status {
    pub(super) member: u64,
    pub(super) leader: u64,
}

impl Connection {
    pub(super) async fn open(addr: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| broken(addr, &error))?;
        // Its end is noticed by the calls.
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Self { addr, sender })
    }

    /// Writes a value.
    pub(super) async fn put(&self, key: &str, value: &[u8]) -> Result<(), BenchError> {
        let mut message = BytesMut::with_capacity(PREFIX_BYTES + key.len() + value.len() + 12);
        message.put_bytes(0, PREFIX_BYTES);
        put_bytes(&mut message, 1, key.as_bytes());
        put_bytes(&mut message, 2, value);
        self.call(PUT, message).await.map(drop)
    }

    /// Asks a member what it knows.
    pub(super) async fn status(&self) -> Result<Status, BenchError> {
        let mut message = BytesMut::new();
        message.put_bytes(0, PREFIX_BYTES);
        let answer = self.call(STATUS, message).await?;
        // StatusResponse: header = 1 { member_id = 2 }, leader = 4.
        let member = bytes_field(&answer, 1).and_then(|header| number_field(header, 2));
        match (member, number_field(&answer, 4)) {
            (Some(member), leader) => Ok(Status { member, leader: leader.unwrap_or(0) }),
            (None, _) => Err(broken(self.addr, &"a status without a member id")),
        }
    }

    /// `message` begins with room for the prefix; the answer comes without it.
    async fn call(&self, path: &str, mut message: BytesMut) -> Result<Bytes, BenchError> {
        let failed = |error: &dyn std::fmt::Display| broken(self.addr, error);
        let length = (message.len() - PREFIX_BYTES) as u32;
        message[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
        let request = Request::post(format!("http://{}{path}", self.addr))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(())
            .map_err(|error| failed(&error))?;
        let mut sender = self.sender.clone().ready().await.map_err(|error| failed(&error))?;
        let (response, mut stream) = sender.send_request(request, false).map_err(|error| failed(&error))?;
        stream.send_data(message.freeze(), true).map_err(|error| failed(&error))?;
        let response = response.await.map_err(|error| failed(&error))?;
        let (head, mut body) = response.into_parts();
        let mut answer = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(|error| failed(&error))?;
            body.flow_control().release_capacity(chunk.len()).map_err(|error| failed(&error))?;
            answer.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await.map_err(|error| failed(&error))?.unwrap_or(head.headers);
        match trailers.get("grpc-status").map(|status| status.as_bytes()) {
            Some(b"0") if answer.len() >= PREFIX_BYTES => Ok(answer.split_off(PREFIX_BYTES).freeze()),
            status => {
                let text = trailers.get("grpc-message").map(|text| String::from_utf8_lossy(text.as_bytes()));
                Err(failed(&format!("gRPC status {status:?}: {}", text.unwrap_or_default())))
            }
        }
    }
}

fn broken(addr: SocketAddr, error: &dyn std::fmt::Display) -> BenchError {
    BenchError::Other(format!("etcd at {addr}: {error}"))
}

/// A length-delimited field (wire type 2).
fn put_bytes(out: &mut BytesMut, field: u8, value: &[u8]) {
    out.put_u8(field << 3 | 2);
    put_varint(out, value.len() as u64);
    out.put_slice(value);
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// What stands in a field of a message.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn field(mut message: &[u8], wanted: u64) -> Option<Value<'_>> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                message = rest;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(value);
        }
    }
    None
}

fn number_field(message: &[u8], wanted: u64) -> Option<u64> {
    match field(message, wanted)? {
        Value::Number(number) => Some(number),
        Value::Bytes(_) => None,
    }
}

fn bytes_field(message: &[u8], wanted: u64) -> Option<&[u8]> {
    match field(message, wanted)? {
        Value::Bytes(bytes) => Some(bytes),
        Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_again() {
        let mut header = BytesMut::new();
        header.put_u8(2 << 3);
        put_varint(&mut header, u64::MAX);
        let mut message = BytesMut::new();
        put_bytes(&mut message, 1, &header);
        put_bytes(&mut message, 2, &[b'v'; 300]);
        message.put_u8(4 << 3);
        put_varint(&mut message, 300);
        assert_eq!(bytes_field(&message, 1).and_then(|header| number_field(header, 2)), Some(u64::MAX));
        assert_eq!(bytes_field(&message, 2), Some(&[b'v'; 300][..]));
        assert_eq!(number_field(&message, 4), Some(300));
        assert_eq!(number_field(&message, 5), None);
        assert_eq!(number_field(&message[..40], 4), None);
    }
}
