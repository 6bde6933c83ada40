//! With real sockets on loopback. What is awaited is awaited for long; what must not come is counted as dropped.

mod tcp;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

/// Nothing takes so long but by a fault.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        for tries in 0.. {
            if is_so() {
                break;
            }
            match tries {
                0..50 => tokio::task::yield_now().await,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    waited.await.expect("it never came to be");
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
