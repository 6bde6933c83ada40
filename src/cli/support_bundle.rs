//! `vedfolnir support-bundle`: what somebody who helps needs to know of a node, its cluster and its machine, in one file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use vedfolnir::admin::{self, Members, NodeView, SOCKET_NAME, Target};
use vedfolnir::config::{self, Config, Loaded};
use vedfolnir::observability::logging;
use vedfolnir::security::secret::Secret;
use vedfolnir::support_bundle::Bundle;

use super::settings::SettingsArgs;
use super::{Failure, doctor, door, open_files, out, runtime};

/// A node that is well answers each question sooner.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Nodes that are asked.
const NODES_MAX: usize = 64;
/// What is asked of each, and what the answer is called.
const QUESTIONS: [(&str, &str); 4] = [
    ("/status", "status.json"),
    ("/members", "members.json"),
    ("/websocket/health", "health.json"),
    ("/websocket/metrics", "metrics.txt"),
];
/// What the kernel says of itself and of this process.
const SYSTEM_FILES: [&str; 10] = [
    "/proc/version",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self/limits",
    "/proc/self/cgroup",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/memory",
    "/etc/os-release",
];

#[derive(Args, Debug)]
pub(crate) struct SupportBundleArgs {
    /// The file to write [default: vedfolnir-support-SECONDS.tar.gz here]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) fn run(arguments: SupportBundleArgs) -> Result<(), Failure> {
    let files = open_files::now();
    let inputs = arguments.settings.inputs();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut bundle = Bundle::new(config::secrets(&inputs));
    bundle.add("version.txt", &format!("vedfolnir {}\n{}\n", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH));
    let checked = config::check(&inputs);
    bundle.add("config/settings.txt", &checked.shown.to_string());
    bundle.add("config/problems.json", &json(&checked.problems));
    bundle.add("system.txt", &system());
    match config::load(&inputs) {
        Ok(Loaded { config, .. }) => runtime::block_on(Some(1), async {
            cluster(&mut bundle, &config).await;
            logs(&mut bundle, &config);
            bundle.add("data-directory.txt", &listing(&config.node.data_dir));
            bundle.add("doctor.json", &json(&doctor::everything(&config, &inputs, files).await));
            Ok(())
        })?,
        Err(_) => bundle.miss("nodes, logs, doctor", "the settings are refused: see config/problems.json"),
    }
    let path = arguments.output.unwrap_or_else(|| PathBuf::from(format!("vedfolnir-support-{now}.tar.gz")));
    let (entries, missing) = bundle.counts();
    let length = bundle.write(&path, arguments.force, now).map_err(|error| {
        Failure::other(format!("--output = {:?} cannot be written: {error}", path.display().to_string()))
    })?;
    let missing = match missing {
        0 => String::new(),
        missing => format!("; {missing} could not be had, MANIFEST.json says why"),
    };
    out::stdout(&format!("{} ({length} bytes, {entries} entries{missing})\n", path.display()));
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("cannot be written: {error}"))
}

/// Every member that answers is asked the same.
async fn cluster(bundle: &mut Bundle, config: &Config) {
    let tokens = &config.admin.tokens;
    let token: Option<&Secret> = [&tokens.read, &tokens.operate, &tokens.admin].into_iter().flatten().next();
    let socket = Target::Unix(config.node.data_dir.join(SOCKET_NAME));
    let listener = Target::Tcp(config.admin.bind.to_string());
    let mut members: Option<Members<NodeView>> = None;
    let mut own = None;
    for target in [socket, listener] {
        match admin::get(&target, token, "/members", TIMEOUT).await {
            Ok((status, body)) if status.is_success() => {
                members = serde_json::from_slice(&body).ok();
                own = Some(target);
                break;
            }
            Ok((status, body)) => bundle.miss(&format!("{target}"), door::reason(status.as_u16(), &body)),
            Err(error) => bundle.miss(&format!("{target}"), error.to_string()),
        }
    }
    let (Some(members), Some(own)) = (members, own) else { return };
    for node in members.members.iter().take(NODES_MAX) {
        let target = if node.id == members.node_id { Ok(own.clone()) } else { node.admin_url.parse::<Target>() };
        match target {
            Ok(target) => ask(bundle, &node.id, &target, token).await,
            Err(form) => bundle.miss(&format!("node {}", node.id), format!("{:?}: {form}", node.admin_url)),
        }
    }
    if members.members.len() > NODES_MAX {
        bundle.miss("further nodes", format!("the first {NODES_MAX} were asked"));
    }
}

async fn ask(bundle: &mut Bundle, id: &str, target: &Target, token: Option<&Secret>) {
    for (question, name) in QUESTIONS {
        match admin::get(target, token, question, TIMEOUT).await {
            // An unhealthy node says so with 503, and why.
            Ok((status, body)) if status.is_success() || status.as_u16() == 503 => {
                bundle.add(&format!("nodes/{id}/{name}"), &String::from_utf8_lossy(&body));
            }
            Ok((status, body)) => {
                bundle.miss(&format!("nodes/{id}/{name}"), door::reason(status.as_u16(), &body));
            }
            Err(error) => {
                bundle.miss(&format!("nodes/{id}"), error.to_string());
                return;
            }
        }
    }
}

fn logs(bundle: &mut Bundle, config: &Config) {
    let log = &config.log;
    let main = if let logging::Target::File(file) = &log.target { Some(file) } else { None };
    if main.is_none() {
        bundle.miss("logs/main.log", "the log goes to a standard stream: see the journal or the container's log");
    }
    let files = [
        ("main", main),
        ("security", log.security_file.as_ref()),
        ("performance", log.performance_file.as_ref()),
        ("error", log.error_file.as_ref()),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            bundle.add_log(&format!("logs/{name}.log"), file);
        }
    }
}

fn system() -> String {
    let mut text = String::new();
    for file in SYSTEM_FILES {
        let content = fs::read_to_string(file).unwrap_or_else(|error| format!("cannot be read: {error}\n"));
        let _ = writeln!(text, "# {file}\n{}\n", content.trim_end());
    }
    let _ = writeln!(
        text,
        "# control group\nmemory_bytes_max {:?}\nmillicpus_max {:?}\ntasks_max {:?}",
        config::memory_bytes_max(),
        config::millicpus_max(),
        config::tasks_max()
    );
    text
}

/// Names and lengths of what is in the data directory, never what is in a file.
fn listing(data_dir: &Path) -> String {
    let mut text = String::new();
    let mut directories = vec![data_dir.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                let _ = writeln!(text, "{}: {error}", directory.display());
                continue;
            }
        };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => directories.push(entry.path()),
                Ok(metadata) => {
                    let _ = writeln!(text, "{:>14}  {}", metadata.len(), entry.path().display());
                }
                Err(_) => {}
            }
        }
    }
    text
}
