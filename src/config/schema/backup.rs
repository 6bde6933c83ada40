//! Category 6: backups and recovery.

use vedfolnir_cluster::backup::BackupKey;

use super::kind::{Boolean, FilePath, Number, Parsed, Span, Text};
use super::{Setting, reason_of, settings};

const BACKUPS: &str = "exported backups and object stores";

settings! {
    STATE_BACKUP: Boolean = Setting::new(
        "WEBSOCKET_STATE_BACKUP",
        "state-backup",
        Boolean,
        "Backups of the cluster's state on a schedule",
    )
    .default("false")
    .production("true");

    BACKUP_INTERVAL: Span = Setting::new(
        "WEBSOCKET_BACKUP_INTERVAL",
        "backup-interval",
        Span::seconds(10, 31 * 86_400),
        "From one to the next",
    )
    .default("300")
    .production("300");

    BACKUP_LOCATION: FilePath = Setting::new(
        "WEBSOCKET_BACKUP_LOCATION",
        "backup-location",
        FilePath::of("a directory that this user may write to"),
        "Where they are kept",
    )
    .production("/var/backups/vedfolnir/websocket");

    MAX_BACKUP_FILES: Number = Setting::new(
        "WEBSOCKET_MAX_BACKUP_FILES",
        "max-backup-files",
        Number::new(1, 1_000_000),
        "How many are kept: the newest ones",
    )
    .default("24")
    .production("24");

    BACKUP_KEEP_HOURLY: Number = Setting::new(
        "WEBSOCKET_BACKUP_KEEP_HOURLY",
        "backup-keep-hourly",
        Number::new(0, 10_000),
        "Besides, the newest backup of each of so many hours is kept",
    )
    .default("0")
    .production("24");

    BACKUP_KEEP_DAILY: Number = Setting::new(
        "WEBSOCKET_BACKUP_KEEP_DAILY",
        "backup-keep-daily",
        Number::new(0, 10_000),
        "And of each of so many days",
    )
    .default("0")
    .production("14");

    AUTO_RECOVERY: Boolean = Setting::new(
        "WEBSOCKET_AUTO_RECOVERY",
        "auto-recovery",
        Boolean,
        "A new cluster, all of whose nodes are empty, starts from the newest sound backup",
    )
    .default("false")
    .production("true");

    RECOVERY_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_RECOVERY_TIMEOUT",
        "recovery-timeout",
        Span::seconds(1, 86_400),
        "How long reading a backup may take before the next one is tried",
    )
    .default("30")
    .production("30");

    RECOVERY_RETRIES: Number = Setting::new(
        "WEBSOCKET_RECOVERY_RETRIES",
        "recovery-retries",
        Number::new(0, 100),
        "Backups that are tried, the newest first; at least one",
    )
    .default("3")
    .production("3");

    PERSIST_CONNECTIONS: Boolean = Setting::new(
        "WEBSOCKET_PERSIST_CONNECTIONS",
        "persist-connections",
        Boolean,
        "Connections are in exported backups",
    )
    .default("true")
    .later(BACKUPS)
    .production("true");

    PERSIST_SUBSCRIPTIONS: Boolean = Setting::new(
        "WEBSOCKET_PERSIST_SUBSCRIPTIONS",
        "persist-subscriptions",
        Boolean,
        "So are rooms and subscriptions",
    )
    .default("true")
    .later(BACKUPS)
    .production("true");

    PERSIST_SESSION_DATA: Boolean = Setting::new(
        "WEBSOCKET_PERSIST_SESSION_DATA",
        "persist-session-data",
        Boolean,
        "So is the sessions' data",
    )
    .default("true")
    .later(BACKUPS)
    .production("true");

    COMPRESS_BACKUPS: Boolean = Setting::new(
        "WEBSOCKET_COMPRESS_BACKUPS",
        "compress-backups",
        Boolean,
        "Backups are compressed",
    )
    .default("true")
    .production("true");

    COMPRESSION_LEVEL: Number = Setting::new(
        "WEBSOCKET_COMPRESSION_LEVEL",
        "compression-level",
        Number::new(1, 19),
        "How much (zstd)",
    )
    .default("6")
    .production("6");

    BACKUP_ENCRYPTION_KEY: Parsed<BackupKey> = Setting::new(
        "WEBSOCKET_BACKUP_ENCRYPTION_KEY",
        "backup-encryption-key",
        Parsed {
            read: |text| BackupKey::new(text).map_err(|error| reason_of(&error)),
            what: "a key of at least 32 bytes, as `openssl rand -base64 32` prints one",
        },
        "Backups are encrypted with it",
    )
    .secret();

    BACKUP_S3_ENDPOINT: Text = Setting::new(
        "WEBSOCKET_BACKUP_S3_ENDPOINT",
        "backup-s3-endpoint",
        Text::of("a web address", 2_048),
        "An object store for copies",
    )
    .in_file()
    .later(BACKUPS);
}
