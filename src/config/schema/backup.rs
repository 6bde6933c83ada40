//! Category 6: backups and recovery.

use vedfolnir_cluster::backup::BackupKey;

use super::address::WebAddress;
use super::kind::{Boolean, FilePath, Number, Parsed, Span, Text};
use super::{Setting, reason_of, settings};

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
        FilePath::of("a directory that this user may write to, or s3://BUCKET/PREFIX"),
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

    BACKUP_ARCHIVE_LOG: Boolean = Setting::new(
        "WEBSOCKET_BACKUP_ARCHIVE_LOG",
        "backup-archive-log",
        Boolean,
        "What is committed between backups is archived beside them: a restore reaches any position, and the newest one",
    )
    .default("false")
    .production("true");

    BACKUP_ARCHIVE_INTERVAL: Span = Setting::new(
        "WEBSOCKET_BACKUP_ARCHIVE_INTERVAL",
        "backup-archive-interval",
        Span::seconds(1, 3_600),
        "How often: so much is lost at most with the quorum's disks",
    )
    .default("10")
    .production("10");

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
        "Sessions are committed with who connected from where; connections are in exported backups",
    )
    .default("true")
    .production("true");

    PERSIST_SUBSCRIPTIONS: Boolean = Setting::new(
        "WEBSOCKET_PERSIST_SUBSCRIPTIONS",
        "persist-subscriptions",
        Boolean,
        "Rooms and subscriptions are in backups, and in exported ones",
    )
    .default("true")
    .production("true");

    PERSIST_SESSION_DATA: Boolean = Setting::new(
        "WEBSOCKET_PERSIST_SESSION_DATA",
        "persist-session-data",
        Boolean,
        "Sessions are in backups, and their data in exported ones",
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

    BACKUP_S3_ENDPOINT: WebAddress = Setting::new(
        "WEBSOCKET_BACKUP_S3_ENDPOINT",
        "backup-s3-endpoint",
        WebAddress,
        "The object store that a location s3://BUCKET/PREFIX is in",
    )
    .unset("https://s3.REGION.amazonaws.com")
    .in_file();

    BACKUP_S3_REGION: Text = Setting::new(
        "WEBSOCKET_BACKUP_S3_REGION",
        "backup-s3-region",
        Text::of("a region such as eu-central-1", 64),
        "Its region; most stores of one's own take any",
    )
    .or(&["AWS_REGION", "AWS_DEFAULT_REGION"])
    .default("us-east-1");

    BACKUP_S3_PATH_STYLE: Boolean = Setting::new(
        "WEBSOCKET_BACKUP_S3_PATH_STYLE",
        "backup-s3-path-style",
        Boolean,
        "The bucket is the first part of the path and not of the host's name",
    )
    .unset("true with an endpoint, else false");

    BACKUP_S3_ACCESS_KEY: Text = Setting::new(
        "WEBSOCKET_BACKUP_S3_ACCESS_KEY",
        "backup-s3-access-key",
        Text::of("the id of an access key", 256),
        "Who asks for objects",
    )
    .or(&["AWS_ACCESS_KEY_ID"])
    .in_file();

    BACKUP_S3_SECRET_KEY: Text = Setting::new(
        "WEBSOCKET_BACKUP_S3_SECRET_KEY",
        "backup-s3-secret-key",
        Text::of("an access key's secret", 256),
        "What requests are signed with",
    )
    .or(&["AWS_SECRET_ACCESS_KEY"])
    .secret();

    BACKUP_S3_SESSION_TOKEN: Text = Setting::new(
        "WEBSOCKET_BACKUP_S3_SESSION_TOKEN",
        "backup-s3-session-token",
        Text::of("the token of temporary credentials", 8_192),
        "Goes with temporary credentials",
    )
    .or(&["AWS_SESSION_TOKEN"])
    .secret();

    BACKUP_S3_CA_FILE: FilePath = Setting::new(
        "WEBSOCKET_BACKUP_S3_CA_FILE",
        "backup-s3-ca-file",
        FilePath::of("a PEM file"),
        "The authority of an endpoint over TLS, instead of the system's",
    );

    BACKUP_S3_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_BACKUP_S3_TIMEOUT",
        "backup-s3-timeout",
        Span::seconds(1, 600),
        "How long the store may leave a request unanswered, or an answer unfinished",
    )
    .default("30");
}
