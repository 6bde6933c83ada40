//! Category 6: backups and recovery.

mod store;

use std::path::{Path, PathBuf};

use vedfolnir_cluster::backup::Packing;
use vedfolnir_cluster::state::Contents;

use crate::backup::{BackupConfig, Keep, LocationSpec, RecoveryConfig, json};
use crate::config::problem::Severity;
use crate::config::schema::backup as schema;
use crate::config::values::Values;

pub(super) fn compose(values: &Values<'_>) -> BackupConfig {
    let scheduled = values.get(&schema::STATE_BACKUP);
    let recovers = values.get(&schema::AUTO_RECOVERY);
    let location = location(values, scheduled, recovers);
    let keep = Keep {
        newest: count(values.get(&schema::MAX_BACKUP_FILES)),
        hourly: count(values.get(&schema::BACKUP_KEEP_HOURLY)),
        daily: count(values.get(&schema::BACKUP_KEEP_DAILY)),
    };
    let interval = values.get(&schema::BACKUP_INTERVAL);
    if scheduled {
        let hours = interval.as_secs_f64() * keep.newest as f64 / 3_600.0;
        let behind = match (keep.hourly, keep.daily) {
            (0, 0) => {
                "nothing behind them; WEBSOCKET_BACKUP_KEEP_HOURLY and WEBSOCKET_BACKUP_KEEP_DAILY keep some".to_owned()
            }
            (hourly, daily) => format!("behind them one of each of {hourly} hours and of {daily} days"),
        };
        let reason = format!(
            "backups reach back {hours:.1} hours ({} of them, {} s apart), {behind}",
            keep.newest,
            interval.as_secs()
        );
        values.say(Severity::Note, &schema::MAX_BACKUP_FILES, reason, "");
    }
    let packing = packing(values);
    if scheduled && packing.key.is_none() {
        let reason = "backups hold the data of sessions as it is; whoever can read the files can read it";
        let accepted = "a key, as `openssl rand -base64 32` prints one";
        values.say(Severity::Note, &schema::BACKUP_ENCRYPTION_KEY, reason, accepted);
    }
    let (subscriptions, session_data) =
        (values.get(&schema::PERSIST_SUBSCRIPTIONS), values.get(&schema::PERSIST_SESSION_DATA));
    let archives = values.get(&schema::BACKUP_ARCHIVE_LOG);
    if archives && !scheduled {
        let reason = "the log leads on from scheduled backups, and there are none";
        values.refuse(&schema::BACKUP_ARCHIVE_LOG, reason, "false, or WEBSOCKET_STATE_BACKUP=true");
    }
    if archives && !(subscriptions && session_data) {
        let reason = "the log holds everything, also what WEBSOCKET_PERSIST_SUBSCRIPTIONS and \
                      WEBSOCKET_PERSIST_SESSION_DATA keep out of backups";
        values.refuse(&schema::BACKUP_ARCHIVE_LOG, reason, "false, or true for both");
    }
    BackupConfig {
        contents: Contents { sessions: session_data, rooms: subscriptions },
        exported: json::Keep { connections: values.get(&schema::PERSIST_CONNECTIONS), subscriptions, session_data },
        location,
        interval: scheduled.then_some(interval),
        archive_interval: archives.then(|| values.get(&schema::BACKUP_ARCHIVE_INTERVAL)),
        keep,
        packing,
        recovery: recovers.then(|| RecoveryConfig {
            timeout: values.get(&schema::RECOVERY_TIMEOUT),
            attempts: count(values.get(&schema::RECOVERY_RETRIES)).max(1),
            is_required: values.production(),
        }),
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn location(values: &Values<'_>, scheduled: bool, recovers: bool) -> Option<LocationSpec> {
    let Some(path) = values.given(&schema::BACKUP_LOCATION) else {
        for (wanted, setting) in [(scheduled, &schema::STATE_BACKUP), (recovers, &schema::AUTO_RECOVERY)] {
            if wanted && !values.is_given(&schema::BACKUP_LOCATION) {
                values.refuse(setting, "there is no place for backups", "WEBSOCKET_BACKUP_LOCATION, or false");
            }
        }
        return None;
    };
    let text = path.to_string_lossy();
    if let Some(bucket) = text.strip_prefix("s3://") {
        return store::bucket(values, bucket).map(LocationSpec::Bucket);
    }
    if text.contains("://") {
        let reason = "it is an address of another kind";
        values.refuse(&schema::BACKUP_LOCATION, reason, "path of a directory, or s3://BUCKET/PREFIX");
        return None;
    }
    if scheduled && let Err(reason) = writable(&path) {
        values.refuse(&schema::BACKUP_LOCATION, reason, "a directory that this user may write to");
    }
    Some(LocationSpec::Directory(path))
}

/// Whether this user may write there, or make the directory; nothing is made yet.
fn writable(path: &Path) -> Result<(), String> {
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let there: Option<PathBuf> = path.ancestors().find(|ancestor| ancestor.exists()).map(Path::to_owned);
    let Some(there) = there else { return Ok(()) };
    if !there.is_dir() {
        return Err(format!("{} is no directory", there.display()));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(&there, access).map_err(|error| format!("{}: {}", std::io::Error::from(error), there.display()))
}

fn packing(values: &Values<'_>) -> Packing {
    let key = values.given(&schema::BACKUP_ENCRYPTION_KEY);
    let level = i32::try_from(values.get(&schema::COMPRESSION_LEVEL)).unwrap_or_default();
    Packing { compression_level: values.get(&schema::COMPRESS_BACKUPS).then_some(level), key }
}
