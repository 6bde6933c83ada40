//! The command line's own promises: one line, the right code, every setting documented.

use std::path::Path;

use clap::{CommandFactory, Parser};

use super::{Cli, Failure};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_usage_error_is_one_line_that_names_the_argument() {
    for (arguments, part) in [
        (vec!["vedfolnir", "start", "--prot", "1"], "--prot"),
        (vec!["vedfolnir", "strat"], "strat"),
        (vec!["vedfolnir", "dev", "--nodes", "many"], "--nodes"),
        (vec!["vedfolnir", "cert", "init", "x"], "--node"),
        (vec!["vedfolnir", "token", "create"], "--join"),
        (vec!["vedfolnir", "remove"], "NODE"),
        (vec!["vedfolnir", "leave", "--addr", "a:1", "--data-dir", "x"], "--data-dir"),
        (vec!["vedfolnir", "status", "--addr", "a:1", "--data-dir", "x"], "--data-dir"),
    ] {
        let error = Cli::try_parse_from(&arguments).expect_err("refused");
        let line = Failure::usage(&error).line();
        assert!(line.contains(part), "{part:?} in {line:?}");
        assert!(!line.contains('\n'), "{line:?}");
    }
}

#[test]
fn every_setting_is_in_the_operators_handbook() {
    let handbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let handbook = std::fs::read_to_string(&handbook).expect("docs/operations.md");
    let command = Cli::command();
    let start = command.find_subcommand("start").expect("start");
    for argument in start.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let Some(environment) = argument.get_env().and_then(|name| name.to_str()) else { continue };
        let option = argument.get_long().expect("every setting has a long option");
        assert!(handbook.contains(&format!("| `--{option}` | `{environment}` |")), "--{option} ({environment})");
    }
}
