//! What a durable command cannot be cheaper than on this machine: one fsync and one round trip over QUIC.

use std::net::SocketAddr;
use std::time::Duration;

use crate::args::FloorArgs;
use crate::child::{Child, EchoOrders, FloorOrders, FloorResult, Orders};
use crate::error::BenchError;
use crate::report::Report;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
const RESULT_TIMEOUT: Duration = Duration::from_secs(600);

pub(super) async fn run(arguments: FloorArgs) -> Result<Report, BenchError> {
    let dir = super::temporary(arguments.place.dir.as_deref())?;
    let mut echo = Child::start(&Orders::Echo(EchoOrders {}), arguments.place.server_core)?;
    let peer: SocketAddr = echo.told("the far side's address", READY_TIMEOUT).await?;
    let orders =
        FloorOrders { dir: dir.path().to_path_buf(), peer, samples: arguments.samples, payload: arguments.payload };
    let mut near = Child::start(&Orders::Floor(orders), arguments.place.server_core)?;
    let FloorResult { fsync, round_trip } = near.told("the floor", RESULT_TIMEOUT).await?;
    near.end().await?;
    echo.end().await?;
    let what = format!("{} fsyncs and QUIC round trips of {} bytes", arguments.samples, arguments.payload);
    let mut report = Report::new(&arguments.place.label, what);
    report.latencies("fsync", &fsync);
    report.latencies("round trip", &round_trip);
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let both = fsync.quantile(share) + round_trip.quantile(share);
        report.figure(&format!("both {name}"), both as f64 / 1e6, "ms");
    }
    Ok(report)
}
