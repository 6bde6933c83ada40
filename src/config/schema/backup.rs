//! Category 6: backups and recovery.

use super::kind::{Boolean, FilePath, Number, Span, Text};
use super::{Setting, settings};

const BACKUPS: &str = "backups";

settings! {
    STATE_BACKUP: Boolean = Setting::new(
        "WEBSOCKET_STATE_BACKUP",
        "state-backup",
        Boolean,
        "Backups of the cluster's state on a schedule",
    )
    .default("false")
    .later(BACKUPS)
    .production("true");

    BACKUP_INTERVAL: Span = Setting::new(
        "WEBSOCKET_BACKUP_INTERVAL",
        "backup-interval",
        Span::seconds(10, 31 * 86_400),
        "From one to the next",
    )
    .default("300")
    .later(BACKUPS)
    .production("300");

    BACKUP_LOCATION: FilePath = Setting::new(
        "WEBSOCKET_BACKUP_LOCATION",
        "backup-location",
        FilePath::of("a directory that this user may write to"),
        "Where they are kept",
    )
    .later(BACKUPS)
    .production("/var/backups/vedfolnir/websocket");

    MAX_BACKUP_FILES: Number = Setting::new(
        "WEBSOCKET_MAX_BACKUP_FILES",
        "max-backup-files",
        Number::new(1, 1_000_000),
        "How many are kept",
    )
    .default("24")
    .later(BACKUPS)
    .production("24");

    AUTO_RECOVERY: Boolean = Setting::new(
        "WEBSOCKET_AUTO_RECOVERY",
        "auto-recovery",
        Boolean,
        "A new cluster starts from the newest backup",
    )
    .default("false")
    .later(BACKUPS)
    .production("true");

    RECOVERY_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_RECOVERY_TIMEOUT",
        "recovery-timeout",
        Span::seconds(1, 86_400),
        "How long an attempt may take",
    )
    .default("30")
    .later(BACKUPS)
    .production("30");

    RECOVERY_RETRIES: Number = Setting::new(
        "WEBSOCKET_RECOVERY_RETRIES",
        "recovery-retries",
        Number::new(0, 100),
        "Attempts after the first",
    )
    .default("3")
    .later(BACKUPS)
    .production("3");

    PERSIST_CONNECTIONS: Boolean = Setting::new(
        "WEBSOCKET_PERSIST_CONNECTIONS",
        "persist-connections",
        Boolean,
        "Sessions are committed with who connected from where, and connections are in exported backups",
    )
    .default("true")
    .production("true");

    PERSIST_SUBSCRIPTIONS: Boolean = Setting::new(
        "WEBSOCKET_PERSIST_SUBSCRIPTIONS",
        "persist-subscriptions",
        Boolean,
        "So are rooms and subscriptions",
    )
    .default("true")
    .production("true");

    PERSIST_SESSION_DATA: Boolean = Setting::new(
        "WEBSOCKET_PERSIST_SESSION_DATA",
        "persist-session-data",
        Boolean,
        "So is the sessions' data",
    )
    .default("true")
    .production("true");

    COMPRESS_BACKUPS: Boolean = Setting::new(
        "WEBSOCKET_COMPRESS_BACKUPS",
        "compress-backups",
        Boolean,
        "Backups are compressed",
    )
    .default("true")
    .later(BACKUPS)
    .production("true");

    COMPRESSION_LEVEL: Number = Setting::new(
        "WEBSOCKET_COMPRESSION_LEVEL",
        "compression-level",
        Number::new(1, 19),
        "How much (zstd)",
    )
    .default("6")
    .later(BACKUPS)
    .production("6");

    BACKUP_ENCRYPTION_KEY: Text = Setting::new(
        "WEBSOCKET_BACKUP_ENCRYPTION_KEY",
        "backup-encryption-key",
        Text::of("a key", 4_096),
        "Backups are encrypted with it",
    )
    .secret()
    .later(BACKUPS);

    BACKUP_S3_ENDPOINT: Text = Setting::new(
        "WEBSOCKET_BACKUP_S3_ENDPOINT",
        "backup-s3-endpoint",
        Text::of("a web address", 2_048),
        "An object store for copies",
    )
    .in_file()
    .later(BACKUPS);
}
