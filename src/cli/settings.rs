//! The settings on the command line: one option for each row of the schema, and the files that others are read from.

use std::path::PathBuf;

use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use vedfolnir::config::{Inputs, options};

/// Files of variables that may be named at once.
const ENV_FILE: &str = "env-file";
const EXIT_WITH_STDIN: &str = "exit-with-stdin";

/// What was typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingsArgs {
    arguments: Vec<(String, String)>,
    env_files: Vec<PathBuf>,
    /// Shut down when standard input ends (how a supervisor's children go with it).
    pub(crate) exit_with_stdin: bool,
}

impl SettingsArgs {
    /// Together with the process's environment.
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs {
            arguments: self.arguments.clone(),
            env_files: self.env_files.clone(),
            open_files_max: super::open_files::raised(),
            memory_bytes_max: vedfolnir::config::memory_bytes_max(),
            ..Inputs::of_this_process()
        }
    }
}

impl Args for SettingsArgs {
    fn augment_args(mut command: Command) -> Command {
        for option in options() {
            let help = format!("{} [env: {}]", option.help, option.variable);
            let argument = Arg::new(option.option.clone())
                .long(option.option)
                .value_name("VALUE")
                .help(help)
                .help_heading(option.heading);
            command = command.arg(argument);
        }
        command
            .arg(
                Arg::new(ENV_FILE)
                    .long(ENV_FILE)
                    .value_name("FILE")
                    .action(ArgAction::Append)
                    .value_parser(clap::value_parser!(PathBuf))
                    .help(
                        "File of NAME=value lines, below the process's own environment; repeat for more, the last wins",
                    )
                    .help_heading("Production Mode Settings"),
            )
            .arg(Arg::new(EXIT_WITH_STDIN).long(EXIT_WITH_STDIN).action(ArgAction::SetTrue).hide(true))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = options().filter_map(|option| {
            let text = matches.get_one::<String>(&option.option)?;
            Some((option.option, text.clone()))
        });
        Ok(Self {
            arguments: given.collect(),
            env_files: matches.get_many::<PathBuf>(ENV_FILE).into_iter().flatten().cloned().collect(),
            exit_with_stdin: matches.get_flag(EXIT_WITH_STDIN),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
