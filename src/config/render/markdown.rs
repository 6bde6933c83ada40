//! docs/configuration.md, made of the schema.

use std::fmt::Write as _;

use crate::config::schema::alias::WITHOUT_EFFECT;
use crate::config::schema::{About, CATEGORIES, Describe};

const HEAD: &str = "\
# Configuration

This page is made by `vedfolnir config docs`; a test keeps it true. Nothing has to be set: `vedfolnir start` works on loopback.

- Where a value comes from, by rank: command line, environment (and `--env-file`, below the process's own), a file that
  `NAME_FILE` names (secrets and some addresses; a last line's end is cut), the TOML file (`--config`), the default.
- In the TOML file a key is the name without `WEBSOCKET_`, in small letters; tables join with an underscore: `[cluster] bootstrap`
  is `WEBSOCKET_CLUSTER_BOOTSTRAP`.
- Empty is unset. Booleans: true, false, 1, 0, yes, no, on, off. Durations: `300` (seconds), `250ms`, `5m`, `1h30m`. Sizes: `100MB`
  (10^6), `100MiB` (2^20). One outer pair of quotes is stripped.
- `vedfolnir config check` judges everything at once and changes nothing (exit code 78 when something is refused); `config show`
  says what applies and why; `config template production`, `development`, `staging` and `kubernetes` print files to begin with;
  `config schema` prints a JSON Schema.
- A name that begins with `WEBSOCKET_` or `SOCKETIO_` and is none of these is a warning, in production mode an error.
- ⟳ marks what takes effect at SIGHUP; the rest needs a restart, and a reload says so.
- A setting of something that this version does not have is refused, not ignored.
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (index, category) in CATEGORIES.iter().enumerate() {
        let _ = write!(page, "\n## {}. {}\n\n", index + 1, category.title);
        page.push_str("| variable, option | default | |\n|---|---|---|\n");
        for setting in category.settings {
            row(&mut page, *setting);
        }
    }
    page.push_str("\n## Names without effect\n\nAccepted with one line each, since systems that Vedfolnir replaces know them:\n\n");
    for entry in WITHOUT_EFFECT {
        let name = entry
            .pattern
            .strip_prefix('.')
            .map_or_else(|| format!("`{}`", entry.pattern), |rest| format!("`WEBSOCKET_{rest}`, `SOCKETIO_{rest}`"));
        let _ = writeln!(page, "- {name}: {}", entry.why);
    }
    page
}

fn row(page: &mut String, setting: &dyn Describe) {
    let About { name, option, other_names, secret, in_file, reload, later, help, default, .. } = *setting.about();
    let _ = write!(
        page,
        "| `{name}`<br>`--{option}` | {} | {}{help}.",
        cell(&default.in_words()),
        if reload { "⟳ " } else { "" }
    );
    let _ = write!(page, " {}.", cell(&setting.accepted()));
    if in_file {
        let _ = write!(page, " {}`{name}_FILE` names a file that holds it.", if secret { "Secret. " } else { "" });
    }
    if !other_names.is_empty() {
        let others: Vec<String> = other_names.iter().map(|other| format!("`{other}`")).collect();
        let _ = write!(page, " Also: {}.", others.join(", "));
    }
    if let Some(what) = later {
        let _ = write!(page, " **Not in this version** ({what}).");
    }
    page.push_str(" |\n");
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
