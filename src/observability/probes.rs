//! The node's checks of its own parts, made at intervals; health answers from what they found, so it never waits for one.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::checks::{Finding, Part};
use super::node::Node;
use super::process;
use crate::config::CheckConfig;
use crate::security::guard::unix_now;

/// A certificate that expires sooner is something to be seen to.
const CERTIFICATE_SECONDS_MIN: i64 = 3 * 86_400;
/// Room on the file system below which something must be done: in percent of all, and in MiB; both must fall short, since
/// a twentieth of a large disk is room enough.
const ROOM_PERCENT_MIN: u64 = 5;
const ROOM_MIB_MIN: u64 = 1_024;
/// The share of a limit, in percent, beyond which something must be done.
const SHARE_PERCENT_MAX: u64 = 90;
/// The share of the limit of memory, in percent, beyond which room is kept for clients that come back.
const NEWCOMERS_PERCENT_MAX: u64 = 85;
/// How often memory is looked at: a herd of clients fills it faster than any interval of checks.
const MEMORY_EVERY: Duration = Duration::from_secs(1);
const PROBE: &str = "health-check";

/// Checks until `stop`.
pub(crate) async fn run(node: Arc<Node>, config: CheckConfig, stop: CancellationToken) {
    tokio::join!(check_parts(&node, &config, &stop), watch_memory(&node, &config, &stop));
}

async fn check_parts(node: &Arc<Node>, config: &CheckConfig, stop: &CancellationToken) {
    let mut interval = tokio::time::interval(config.interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A check that hangs is not made a second time beside itself.
    let mut hanging: Option<JoinHandle<Finding>> = None;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        let storage = match hanging.take().filter(|earlier| !earlier.is_finished()) {
            Some(earlier) => earlier,
            None => {
                let data_dir = node.data_dir().to_owned();
                spawn_blocking(move || storage(&data_dir))
            }
        };
        let (finding, late) = within(config.timeout, storage).await;
        hanging = late;
        record(node, Part::Storage, finding);
        record(node, Part::DiskSpace, disk_space(node.data_dir()));
        if let Some(tls) = node.parts().and_then(|parts| parts.tls.as_deref()) {
            let first = tls.status().certificates.iter().map(|report| report.not_after).min();
            record(node, Part::Tls, certificates(first, i64::try_from(unix_now()).unwrap_or(i64::MAX)));
        }
        let process = process::read();
        record(node, Part::OpenFiles, share("open files", process.open_fds, process.max_fds));
    }
}

async fn within(timeout: Duration, mut check: JoinHandle<Finding>) -> (Finding, Option<JoinHandle<Finding>>) {
    match tokio::time::timeout(timeout, &mut check).await {
        Ok(Ok(finding)) => (finding, None),
        Ok(Err(error)) => (Err(format!("the check ended: {error}")), None),
        Err(_) => (Err(format!("no answer within {} s", timeout.as_secs())), Some(check)),
    }
}

/// Above the share of the limit no new client is taken; those who are there stay.
async fn watch_memory(node: &Arc<Node>, config: &CheckConfig, stop: &CancellationToken) {
    let mut interval = tokio::time::interval(MEMORY_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        let resident = process::read().resident_bytes;
        let finding = match config.memory_bytes_max {
            Some(limit) => share("bytes of memory", resident, limit),
            None => Ok(format!("{resident} bytes, no limit")),
        };
        node.set_shedding(finding.is_err());
        node.set_crowded(config.memory_bytes_max.is_some_and(|limit| resident > limit / 100 * NEWCOMERS_PERCENT_MAX));
        record(node, Part::Memory, finding);
    }
}

fn record(node: &Node, part: Part, finding: Finding) {
    let (told, failed) = (finding.clone(), finding.is_err());
    if !node.checks().lock().record(part, finding, Instant::now()) {
        return;
    }
    let found = told.unwrap_or_else(|reason| reason);
    if failed {
        tracing::error!(check = part.as_str(), found, "a check of the node's own parts failed");
    } else {
        tracing::info!(check = part.as_str(), found, "a check of the node's own parts is well again");
    }
}

/// Whether the data directory takes a write that reaches the disk.
fn storage(data_dir: &Path) -> Finding {
    use std::io::Write;
    let path = data_dir.join(PROBE);
    let write = || {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(b"written by the node's check of its own disk\n")?;
        file.sync_all()?;
        std::fs::remove_file(&path)
    };
    let began = Instant::now();
    match write() {
        Ok(()) => Ok(format!("a write took {} ms", began.elapsed().as_millis())),
        Err(error) => Err(format!("{} cannot be written: {error}", path.display())),
    }
}

fn disk_space(data_dir: &Path) -> Finding {
    let room = rustix::fs::statvfs(data_dir).map_err(|error| format!("{}: {error}", data_dir.display()))?;
    let percent = room.f_bavail.saturating_mul(100) / room.f_blocks.max(1);
    let mebibytes = room.f_bavail.saturating_mul(room.f_frsize) >> 20;
    let line = format!("{mebibytes} MiB free, {percent} %");
    if percent < ROOM_PERCENT_MIN && mebibytes < ROOM_MIB_MIN { Err(line) } else { Ok(line) }
}

fn certificates(first_expires: Option<i64>, now: i64) -> Finding {
    let Some(expires) = first_expires else { return Err("there is no certificate".to_owned()) };
    match expires - now {
        left if left <= 0 => Err("a certificate has expired".to_owned()),
        left if left < CERTIFICATE_SECONDS_MIN => Err(format!("a certificate expires in {} hours", left / 3600)),
        left => Ok(format!("the first certificate expires in {} days", left / 86_400)),
    }
}

fn share(what: &str, used: u64, limit: u64) -> Finding {
    let line = format!("{used} {what} of {limit}");
    if used > limit / 100 * SHARE_PERCENT_MAX { Err(line) } else { Ok(line) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_takes_writes_is_well_and_nothing_stays_in_it() {
        let directory = tempfile::tempdir().unwrap();
        assert!(storage(directory.path()).is_ok());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(disk_space(directory.path()).is_ok_and(|line| line.contains("MiB free")));
        let gone = directory.path().join("gone");
        assert!(storage(&gone).is_err_and(|reason| reason.contains("gone/health-check")));
        assert!(disk_space(&gone).is_err());
    }

    #[test]
    fn a_certificate_is_seen_to_three_days_before_it_expires() {
        let now = 1_800_000_000;
        assert!(certificates(Some(now + 4 * 86_400), now).is_ok());
        assert_eq!(certificates(Some(now + 2 * 86_400), now), Err("a certificate expires in 48 hours".to_owned()));
        assert!(certificates(Some(now - 1), now).is_err_and(|reason| reason.contains("expired")));
    }

    #[test]
    fn a_share_beyond_nine_tenths_is_too_much() {
        assert!(share("open files", 900, 1000).is_ok());
        assert_eq!(share("open files", 901, 1000), Err("901 open files of 1000".to_owned()));
    }

    #[tokio::test]
    async fn a_check_that_hangs_has_failed_and_is_kept() {
        let (open, gate) = std::sync::mpsc::sync_channel::<()>(1);
        let check = spawn_blocking(move || gate.recv().map(|()| "done".to_owned()).map_err(|error| error.to_string()));
        let (finding, late) = within(Duration::from_millis(20), check).await;
        assert!(finding.is_err_and(|reason| reason.starts_with("no answer")));
        open.send(()).unwrap();
        assert_eq!(late.unwrap().await.unwrap(), Ok("done".to_owned()));
    }
}
