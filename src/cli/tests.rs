//! The command line's own promises: one line, the right code, every setting documented.

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
        let line = Failure::usage(&error).lines().collect::<Vec<_>>().join("\n");
        assert!(line.contains(part), "{part:?} in {line:?}");
        assert!(!line.contains('\n'), "{line:?}");
    }
}

#[test]
fn a_session_whose_id_begins_with_a_hyphen_is_no_option() {
    for session in ["-Bc", "--x", "-"] {
        assert!(Cli::try_parse_from(["vedfolnir", "trace", "--session", session, "--json"]).is_ok(), "{session}");
    }
}

#[test]
fn every_setting_is_an_option() {
    let command = Cli::command();
    let start = command.find_subcommand("start").expect("start");
    for option in vedfolnir::config::options() {
        assert!(
            start.get_arguments().any(|argument| argument.get_long() == Some(&option.option)),
            "--{}",
            option.option
        );
    }
}
