//! Settings: the command line, and an environment variable for each option.
//!
//! The command line wins over the environment. A variable that is empty counts as unset.

mod args;
mod list;

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::{Command, Parser};

pub use args::{
    AdminListen, ClientArgs, LimitArgs, ListenArgs, LogArgs, LogFormat, ProxyArgs, TraceArgs,
    at_least_one,
};
pub use list::{List, ListError, flatten};

use crate::version::Build;

/// Variable of the port. Kubernetes sets one of this name to `tcp://…` for a Service named `sinfonia`.
const PORT_VARIABLE: &str = "SINFONIA_PORT";

/// What the process exits with after a usage error: the user can fix it.
const USAGE_EXIT: i32 = 1;

/// Reads the settings of a program, which `--version` tells to be this build. After `--help`, `--version` and usage errors it ends the
/// process, with 0 or 1.
pub fn parse<C: Parser>(build: Build) -> C {
    match try_parse_of(build, std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(settings) => settings,
        Err(error) => {
            // There is nobody left to tell if this fails.
            let _ = error.print();
            std::process::exit(if error.use_stderr() { USAGE_EXIT } else { 0 });
        }
    }
}

/// Reads the settings of a program from these arguments, the first of which is the program's name. Variables for which `variable` says
/// that they count as unset are left out.
///
/// # Errors
/// The arguments or variables are malformed, or ask for help or the version, which are errors to clap.
pub fn try_parse_from<C: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<C, clap::Error> {
    try_parse_of(Build::UNKNOWN, arguments, variable)
}

/// Reads the settings of a program as [`try_parse_from`] does; `--version` tells that it is this build.
///
/// # Errors
/// As there.
pub fn try_parse_of<C: Parser>(
    build: Build,
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<C, clap::Error> {
    // It is needed as long as the process runs.
    let version: &'static str = build.to_string().leak();
    let command = C::command().long_version(version);
    let mut command = without_unset(command, &variable);
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    C::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Takes the variables that count as unset from the options of a command and of its subcommands.
fn without_unset(command: Command, variable: &impl Fn(&OsStr) -> Option<OsString>) -> Command {
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if variable(name).is_some_and(|value| counts_as_unset(name, &value)) => {
            arg.env(Resettable::Reset)
        }
        _ => arg,
    });
    command.mut_subcommands(|subcommand| without_unset(subcommand, variable))
}

fn counts_as_unset(name: &OsStr, value: &OsStr) -> bool {
    value.is_empty() || (name == PORT_VARIABLE && value.as_encoded_bytes().starts_with(b"tcp://"))
}

#[cfg(test)]
mod tests;
