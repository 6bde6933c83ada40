//! The two things that a durable command cannot do without, by themselves: an fsync, and a round trip over QUIC between
//! two processes, with the same edge that nodes use.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::ClusterTls;
use vedfolnir_cluster::network::{
    Endpoint, FrameReceiver, FrameSender, Handler, LocalIdentity, NetworkTls, PeerIdentity, Unwelcome,
};

use super::{hear, say};
use crate::error::BenchError;
use crate::histogram::Histogram;

/// The stream's kind; these two processes are no cluster, so any will do.
const ECHO: u8 = 1;
const CLUSTER: [u8; 16] = [0; 16];

/// No orders are needed but to be there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EchoOrders {}

/// What is measured, against whom.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FloorOrders {
    pub(crate) dir: PathBuf,
    pub(crate) peer: SocketAddr,
    pub(crate) samples: usize,
    pub(crate) payload: usize,
}

/// Nanoseconds.
#[derive(Serialize, Deserialize)]
pub(crate) struct FloorResult {
    pub(crate) fsync: Histogram,
    pub(crate) round_trip: Histogram,
}

/// Sends back what comes.
struct Echo;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Handler for Echo {
    fn request(&self, _from: PeerIdentity, _kind: u8, body: Bytes) -> Answer<'_, Result<Bytes, Bytes>> {
        Box::pin(async { Ok(body) })
    }

    fn stream(
        &self,
        _from: PeerIdentity,
        _kind: u8,
        _header: Bytes,
        mut sender: FrameSender,
        mut receiver: FrameReceiver,
    ) -> Answer<'_, ()> {
        Box::pin(async move {
            while let Ok(Some(body)) = receiver.recv().await {
                if sender.send(body).await.is_err() {
                    return;
                }
            }
        })
    }

    fn volatile(&self, _from: PeerIdentity, _body: Bytes) {}

    fn enrol(&self, _from: SocketAddr, _body: Bytes) -> Answer<'_, Bytes> {
        Box::pin(async { Bytes::new() })
    }

    fn turned_away(&self) {}

    fn unwelcome(&self, _peer: &PeerIdentity) -> Option<Unwelcome> {
        None
    }
}

fn endpoint(node: u64) -> Result<Endpoint, BenchError> {
    let tls = NetworkTls::load(&ClusterTls::InsecureLoopback).map_err(|error| BenchError::Other(error.to_string()))?;
    let identity = Arc::new(LocalIdentity::new(node, Some(CLUSTER)));
    Endpoint::bind((Ipv4Addr::LOCALHOST, 0).into(), tls, identity, Arc::new(Echo))
        .map_err(|error| BenchError::Other(error.to_string()))
}

/// The far side.
pub(super) async fn echo(_orders: EchoOrders) -> Result<(), BenchError> {
    let endpoint = endpoint(1)?;
    say(&endpoint.local_addr())?;
    let _: Option<()> = hear().await?;
    Ok(())
}

/// The near side.
pub(super) async fn measure(orders: FloorOrders) -> Result<(), BenchError> {
    let body = Bytes::from(vec![b'x'; orders.payload]);
    let mut round_trip = Histogram::default();
    let endpoint = endpoint(2)?;
    let peer = endpoint.peer(&orders.peer.to_string(), None);
    let broken = |error: &dyn std::fmt::Display| BenchError::Other(format!("the round trip: {error}"));
    let (mut sender, mut receiver) = peer.open_stream(ECHO, Bytes::new()).await.map_err(|error| broken(&error))?;
    for _ in 0..orders.samples {
        let began = Instant::now();
        sender.send(body.clone()).await.map_err(|error| broken(&error))?;
        receiver.recv().await.map_err(|error| broken(&error))?;
        round_trip.record(began.elapsed().as_nanos() as u64);
    }
    // A file that grows, as a write-ahead log does.
    let mut fsync = Histogram::default();
    let path = orders.dir.join("fsync");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    for _ in 0..orders.samples {
        let began = Instant::now();
        file.write_all(&body)?;
        file.sync_data()?;
        fsync.record(began.elapsed().as_nanos() as u64);
    }
    say(&FloorResult { fsync, round_trip })?;
    let _: Option<()> = hear().await?;
    Ok(())
}
