//! `vedfolnir backup`: backups of a running cluster, in the location of whoever asks, and a new cluster from one.
//!
//! Settings are those of `vedfolnir start`: the location, the key, the data directory. Listing, verifying and restoring need
//! no node; making and pruning ask the one of these settings.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vedfolnir::admin::{self, BackupsView, CreateBody, PruneBody, Pruned, SOCKET_NAME, Target};
use vedfolnir::backup::archive::{PointError, RouteError, SegmentName, find, read_point};
use vedfolnir::backup::{
    self, ArchivedLog, BackupId, Created, Location, LocationSpec, Restored, SegmentView, VerifyView, verify_one,
    verify_segments,
};
use vedfolnir::config::{self, Config};
use vedfolnir::observability::rfc3339_ms;
use vedfolnir::security::secret::Secret;

use super::settings::SettingsArgs;
use super::{Failure, backup_json, door, out, runtime};

/// A node that makes a backup sends something within this time.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Instead of an id.
const LATEST: &str = "latest";

#[derive(Subcommand, Debug)]
pub(crate) enum BackupVerb {
    /// Make a backup of the running cluster now, into the location of these settings
    Create(PlainArgs),
    /// Show what is in the location, the newest first
    List(PlainArgs),
    /// Reread every byte of a backup, or of all: exit code 0 if they are sound
    Verify(VerifyArgs),
    /// Fill an empty data directory from a backup: the node that starts on it is the first of a new cluster
    Restore(RestoreArgs),
    /// Write a backup as a JSON document: connections, sessions and the session store, for other programs
    Export(backup_json::ExportArgs),
    /// Make a backup of such a document, also of one from the system before this one
    Import(backup_json::ImportArgs),
    /// Have the node remove backups from its location beyond those that are to be kept
    Prune(PlainArgs),
}

#[derive(Args, Debug)]
pub(crate) struct PlainArgs {
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Which one: its id, or latest
    #[arg(value_name = "ID", required_unless_present = "all")]
    id: Option<String>,
    /// Every backup in the location, and every piece of the archived log
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// Read the state as well, and compare its hash with the one that was written
    #[arg(long)]
    deep: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// Which one: its id, or latest
    #[arg(value_name = "ID")]
    id: String,
    /// Go on from there through the archived log, up to a log index (12345), a time (2025-01-28T10:30:00Z) or its end (end);
    /// latest is then the newest backup that is not after it
    #[arg(long, value_name = "POINT")]
    to: Option<String>,
    /// Read and verify everything, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Also over a node's state: it is moved into a directory inside the data directory, not removed
    #[arg(long)]
    force: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) fn run(verb: BackupVerb) -> Result<(), Failure> {
    match verb {
        BackupVerb::Create(arguments) => create(&arguments),
        BackupVerb::List(arguments) => list(&arguments),
        BackupVerb::Verify(arguments) => verify(&arguments),
        BackupVerb::Restore(arguments) => restore(&arguments),
        BackupVerb::Export(arguments) => backup_json::export(&arguments),
        BackupVerb::Import(arguments) => backup_json::import(&arguments),
        BackupVerb::Prune(arguments) => prune(&arguments),
    }
}

pub(super) fn configured(settings: &SettingsArgs) -> Result<Config, Failure> {
    Ok(config::load(&settings.inputs())?.config)
}

pub(super) fn location_of(config: &Config) -> Result<Arc<dyn Location>, Failure> {
    config.backup.location.as_ref().map(LocationSpec::open).ok_or_else(|| {
        Failure::configuration("--backup-location (WEBSOCKET_BACKUP_LOCATION) is missing: say where backups are kept")
    })
}

pub(super) fn failed(error: impl ToString) -> Failure {
    Failure::other(error.to_string())
}

pub(super) fn show<T: Serialize>(value: &T) -> Result<(), Failure> {
    out::stdout(&format!("{}\n", serde_json::to_string(value).map_err(failed)?));
    Ok(())
}

/// By its id, or the newest one.
pub(super) fn named(location: &dyn Location, name: &str) -> Result<BackupId, Failure> {
    if name == LATEST {
        let newest = location.list().map_err(failed)?.into_iter().next();
        return newest
            .map(|newest| newest.id)
            .ok_or_else(|| failed(format!("there is no backup in {}", location.name())));
    }
    name.parse().map_err(|error: backup::BackupIdError| Failure::configuration(error.to_string()))
}

/// The node of these settings: its socket, or its listener where there is none.
fn node_of(config: &Config) -> (Target, Option<Secret>) {
    let tokens = &config.admin.tokens;
    let token = [&tokens.admin, &tokens.operate, &tokens.read].into_iter().flatten().next().cloned();
    let socket = config.node.data_dir.join(SOCKET_NAME);
    let target = if socket.exists() { Target::Unix(socket) } else { Target::Tcp(config.admin.bind.to_string()) };
    (target, token)
}

fn create(arguments: &PlainArgs) -> Result<(), Failure> {
    let config = configured(&arguments.settings)?;
    let location = location_of(&config)?;
    let (target, token) = node_of(&config);
    let began = Instant::now();
    let mut pending = location.begin(backup::id_of(SystemTime::now())).map_err(|error| refused(&error))?;
    let id = pending.id();
    let body = serde_json::to_vec(&CreateBody { backup_id: id }).map_err(failed)?;
    let answer = runtime::block_on(Some(1), async {
        let take = |piece: bytes::Bytes| pending.write_all(&piece);
        admin::post_into(&target, token.as_ref(), "/backups/stream", body, STALL_TIMEOUT, take).await.map_err(failed)
    })?;
    let (status, reason) = answer;
    if !status.is_success() {
        return Err(refused(&door::reason(status.as_u16(), &reason)));
    }
    let key = config.backup.packing.key.as_ref();
    let (about, written) = backup::keep(pending, key).map_err(|error| refused(&error))?;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let created = Created { about, bytes: written.bytes, checksum: written.sha256, verified: true, duration_ms };
    if arguments.json {
        return show(&created);
    }
    let Created { about, bytes, .. } = &created;
    out::stdout(&format!(
        "{id}: {bytes} bytes in {}, read back and sound\n  log index {}, {} sessions, {} messages, {} entries of the store\n",
        location.name(),
        about.raft_index,
        about.counts.sessions,
        about.counts.messages,
        about.counts.kv_entries
    ));
    Ok(())
}

fn refused(reason: &impl ToString) -> Failure {
    Failure::other(backup::CreateError::because(reason).to_string())
}

fn list(arguments: &PlainArgs) -> Result<(), Failure> {
    let location = location_of(&configured(&arguments.settings)?)?;
    let backups = backup::list(location.as_ref()).map_err(failed)?;
    let view = BackupsView { location: location.name(), free_bytes: location.free_bytes(), backups };
    if arguments.json {
        return show(&view);
    }
    let mut rows = vec![
        ["BACKUP", "TIMESTAMP", "BYTES", "VERIFIED", "ENCRYPTED", "LOG INDEX", "UP TO", "SESSIONS", "CLUSTER"]
            .map(String::from),
    ];
    for listed in &view.backups {
        let of = |text: fn(&backup::About) -> String| match (&listed.about, &listed.error) {
            (Some(about), _) => text(about),
            (None, _) => "-".to_owned(),
        };
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        rows.push([
            listed.backup_id.to_string(),
            listed.error.clone().unwrap_or_else(|| of(|about| about.timestamp.clone())),
            listed.bytes.to_string(),
            yes(listed.verified),
            yes(listed.encrypted),
            of(|about| about.raft_index.to_string()),
            listed.rolls_forward_to.as_ref().map_or_else(|| "-".to_owned(), |end| end.raft_index.to_string()),
            of(|about| about.counts.sessions.to_string()),
            of(|about| about.cluster_id.clone()),
        ]);
    }
    out::stdout(&super::dev::table(&rows));
    Ok(())
}

fn verify(arguments: &VerifyArgs) -> Result<(), Failure> {
    let config = configured(&arguments.settings)?;
    let location = location_of(&config)?;
    let ids = match &arguments.id {
        Some(name) => vec![named(location.as_ref(), name)?],
        None => location.list().map_err(failed)?.into_iter().map(|stored| stored.id).collect(),
    };
    let key = config.backup.packing.key.as_ref();
    let segments = match &arguments.id {
        Some(_) => Vec::new(),
        None => verify_segments(location.as_ref(), key).map_err(failed)?,
    };
    let verified = ids.into_iter().map(|id| verify_one(location.as_ref(), id, key, arguments.deep));
    let views: Vec<VerifyView> = verified.collect::<Result<_, _>>().map_err(failed)?;
    match (&arguments.id, views.as_slice()) {
        (Some(_), [view]) if arguments.json => show(view)?,
        _ if arguments.json => show(&serde_json::json!({ "backups": views, "segments": segments }))?,
        _ => out::stdout(&views.iter().map(line).chain(segments.iter().map(segment_line)).collect::<String>()),
    }
    let bad_backups = views
        .iter()
        .filter(|view| !view.valid)
        .map(|view| format!("{}: {}", view.backup_id, view.error.as_deref().unwrap_or_default()));
    let bad_segments = segments.iter().filter(|view| !view.valid);
    let bad_segments =
        bad_segments.map(|view| format!("{}: {}", view.segment, view.error.as_deref().unwrap_or_default()));
    let bad: Vec<String> = bad_backups.chain(bad_segments).collect();
    if bad.is_empty() { Ok(()) } else { Err(failed(format!("not sound: {}", bad.join("; ")))) }
}

fn segment_line(view: &SegmentView) -> String {
    let valid = view.valid;
    format!("{}: valid: {valid}, {} bytes\n", view.segment, view.bytes)
}

fn line(view: &VerifyView) -> String {
    match (&view.error, view.bytes) {
        (None, Some(bytes)) => format!("{}: valid: true, {bytes} bytes\n", view.backup_id),
        _ => format!("{}: valid: false\n", view.backup_id),
    }
}

/// What `restore` shows.
#[derive(Serialize)]
struct RestoreView<'a> {
    /// `restored` or `verified` (after a dry run).
    status: &'static str,
    backup_id: BackupId,
    /// Sessions that were connected: their clients may resume.
    recovered_connections: u64,
    sessions: u64,
    rooms: u64,
    messages: u64,
    kv_entries: u64,
    /// The last log index of the old cluster that is in it.
    raft_index: u64,
    /// When the backup was begun.
    timestamp: &'a str,
    /// What was replayed of the archived log.
    log_segments: u64,
    log_entries: u64,
    /// When the last of it had been applied.
    until: Option<String>,
    cluster_id: &'a str,
    node_id: &'a str,
    data_dir: String,
    set_aside: Option<String>,
    duration_ms: u64,
}

fn restore(arguments: &RestoreArgs) -> Result<(), Failure> {
    let config = configured(&arguments.settings)?;
    let location = location_of(&config)?;
    let point = arguments.to.as_deref().map(read_point).transpose();
    let point = point.map_err(|error: PointError| Failure::configuration(error.to_string()))?;
    let (id, segments) = match point {
        None => (named(location.as_ref(), &arguments.id)?, Vec::new()),
        Some(point) => {
            let name = if arguments.id == LATEST { None } else { Some(named(location.as_ref(), &arguments.id)?) };
            let refused = |error: RouteError| failed(format!("{}: {error}", location.name()));
            let route = find(location.as_ref(), name, point).map_err(refused)?;
            (route.backup, route.segments)
        }
    };
    let open = |name: &SegmentName| location.open_segment(name).map_err(|error| error.to_string());
    let log = point.map(|until| ArchivedLog { segments: &segments, open: &open, until, as_far_as_sound: false });
    let input = location.open(id).map_err(failed)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let options = backup::RestoreOptions {
        key: config.backup.packing.key.clone(),
        cluster_addr: config.cluster.advertise.clone().unwrap_or_else(|| config.cluster.bind.to_string()),
        dry_run: arguments.dry_run,
        set_aside: arguments.force.then(|| format!("before-restore-{seconds}")),
        as_planned: false,
    };
    let data_dir = &config.node.data_dir;
    let restored: Restored = backup::restore_to(data_dir, input, log.as_ref(), &|| true, &options)
        .map_err(|error| failed(format!("{id}: {error}")))?;
    let replayed = restored.replayed.as_ref();
    let view = RestoreView {
        status: if arguments.dry_run { "verified" } else { "restored" },
        backup_id: id,
        recovered_connections: restored.counts.connected,
        sessions: restored.counts.sessions,
        rooms: restored.counts.rooms,
        messages: restored.counts.messages,
        kv_entries: restored.counts.kv_entries,
        raft_index: restored.raft_index - 1,
        timestamp: &restored.about.timestamp,
        log_segments: replayed.map_or(0, |replayed| replayed.segments),
        log_entries: replayed.map_or(0, |replayed| replayed.entries),
        until: replayed.and_then(|replayed| replayed.unix_ms).map(rfc3339_ms),
        cluster_id: &restored.cluster_id,
        node_id: &restored.node_id,
        data_dir: data_dir.display().to_string(),
        set_aside: restored.set_aside.as_ref().map(|path| path.display().to_string()),
        duration_ms: restored.duration_ms,
    };
    if arguments.json {
        return show(&view);
    }
    text(&view);
    if point.is_none() {
        say_where_the_log_leads(location.as_ref(), id);
    }
    Ok(())
}

/// Whoever restores a backup alone is told what the archived log would add.
fn say_where_the_log_leads(location: &dyn Location, id: BackupId) {
    let listed = backup::list(location).ok().into_iter().flatten().find(|listed| listed.backup_id == id);
    if let Some(end) = listed.and_then(|listed| listed.rolls_forward_to) {
        let until = end.timestamp.unwrap_or_default();
        out::stdout(&format!("the archived log leads on from it to log index {}, {until}: --to end\n", end.raft_index));
    }
}

fn text(view: &RestoreView<'_>) {
    let mut text = format!(
        "status: {}\n{} of {}: {} sessions ({} of them were connected), {} rooms, {} messages, {} entries of the store, log index {}, {} ms\n",
        view.status,
        view.backup_id,
        view.timestamp,
        view.sessions,
        view.recovered_connections,
        view.rooms,
        view.messages,
        view.kv_entries,
        view.raft_index,
        view.duration_ms
    );
    if view.log_segments > 0 {
        let until = view.until.as_deref().unwrap_or("a time that is not known");
        let _ = writeln!(
            text,
            "from there on {} entries in {} pieces of the archived log, up to {until}",
            view.log_entries, view.log_segments
        );
    }
    if view.status == "restored" {
        let _ = writeln!(
            text,
            "new cluster {}, node {}: start it on {}; other nodes join it with empty data directories",
            view.cluster_id, view.node_id, view.data_dir
        );
    }
    if let Some(aside) = &view.set_aside {
        let _ = writeln!(text, "what was there is in {aside}");
    }
    out::stdout(&text);
}

fn prune(arguments: &PlainArgs) -> Result<(), Failure> {
    let config = configured(&arguments.settings)?;
    let (target, token) = node_of(&config);
    let pruned: Pruned = runtime::block_on(Some(1), ask(&target, token.as_ref(), "/backups/prune", &PruneBody {}))?;
    if arguments.json {
        return show(&pruned);
    }
    for id in &pruned.pruned {
        out::stdout(&format!("{id} was removed\n"));
    }
    Ok(())
}

async fn ask<B: Serialize, T: DeserializeOwned>(
    target: &Target,
    token: Option<&Secret>,
    path: &str,
    body: &B,
) -> Result<T, Failure> {
    let body = serde_json::to_vec(body).map_err(failed)?;
    door::understood(admin::post(target, token, path, body, TIMEOUT).await)
}
