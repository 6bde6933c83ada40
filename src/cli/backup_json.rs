//! `vedfolnir backup export` and `import`: a backup as a JSON document, and one from it. Neither needs a node.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use vedfolnir::backup::json::{self as document, Exported};

use super::backup::{configured, failed, location_of, named, show};
use super::settings::SettingsArgs;
use super::{Failure, out};

const WRITE_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Layout {
    Json,
}

#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// Which one: its id, or latest
    #[arg(value_name = "ID")]
    id: String,
    /// The document's layout
    #[arg(long, value_enum, default_value = "json")]
    format: Layout,
    /// Where to: a file that is not there yet, readable for this user alone; without it the output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// The document; -: the input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn export(arguments: &ExportArgs) -> Result<(), Failure> {
    let Layout::Json = arguments.format;
    let config = configured(&arguments.settings)?;
    let location = location_of(&config)?;
    let id = named(location.as_ref(), &arguments.id)?;
    let input = location.open(id).map_err(failed)?;
    let (key, keep) = (config.backup.packing.key.as_ref(), config.backup.exported);
    let write = |out: &mut dyn Write| -> Result<Exported, Failure> {
        let mut out = BufWriter::with_capacity(WRITE_BYTES, out);
        let exported = document::export_backup(input, key, keep, &mut out);
        exported.map_err(|error| failed(format!("{id}: {error}")))
    };
    let exported = match &arguments.output {
        None => write(&mut io::stdout().lock())?,
        Some(path) => into_file(path, write)?,
    };
    let Exported { connections, sessions, redis_sessions, skipped } = exported;
    let mut line = format!("{id}: {connections} connections, {sessions} sessions, {redis_sessions} redis_sessions");
    if skipped > 0 {
        line.push_str(&format!("; {skipped} values of the session store are not JSON and not in the document"));
    }
    // Beside the document, which may be the output.
    out::stderr_line(&line);
    Ok(())
}

/// A file that is whole or not there.
fn into_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T, Failure>) -> Result<T, Failure> {
    let refused = |error: io::Error| failed(format!("{error}: {}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(refused)?;
    let written = write(&mut file).and_then(|value| file.sync_all().map(|()| value).map_err(refused));
    if written.is_err() {
        // It is this call's own; that it stays is worth no second line.
        let _ = fs::remove_file(path);
    }
    written
}

pub(super) fn import(arguments: &ImportArgs) -> Result<(), Failure> {
    let config = configured(&arguments.settings)?;
    let location = location_of(&config)?;
    let file = &arguments.file;
    let of_file = |error: &dyn ToString| failed(format!("{}: {}", file.display(), error.to_string()));
    let input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(BufReader::new(File::open(file).map_err(|error| of_file(&error))?)),
    };
    let configuration = config.cluster.limits.configuration().map_err(failed)?;
    let made = document::import_backup(input, configuration, location.as_ref(), &config.backup.packing);
    let made = made.map_err(|error| of_file(&error))?;
    if arguments.json {
        return show(&made);
    }
    let document::Counts { connections, sessions, redis_sessions } = made.imported;
    let id = made.created.about.backup_id;
    out::stdout(&format!(
        "{id}: {connections} connections, {sessions} sessions and {redis_sessions} redis_sessions are in a backup in {}\n",
        location.name()
    ));
    Ok(())
}
