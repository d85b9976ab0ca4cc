//! `sinfonia-tier3 exec`.

use std::ffi::OsString;

use super::inside::{Report, with_application};
use crate::arguments::ExecArgs;
use crate::failure::CommandError;
use crate::log;

/// Runs the command; returns what the application exited with.
pub(crate) fn run(args: &ExecArgs) -> Result<u8, CommandError> {
    let ExecArgs {
        application,
        talk,
        command,
    } = args;
    let work = || {
        // It asks nobody who could continue a trace.
        log::init(*talk, None)?;
        enter(*application, command)
    };
    work().map_err(|error| with_application(error, Report::Notes))
}

#[cfg(target_os = "linux")]
fn enter(
    application: crate::application::Application,
    command: &[OsString],
) -> Result<u8, CommandError> {
    Ok(crate::confined::run_beside(application, command)?)
}

#[cfg(not(target_os = "linux"))]
fn enter(application: crate::application::Application, _: &[OsString]) -> Result<u8, CommandError> {
    Err(CommandError::NoNamespaces {
        url: None,
        application,
    })
}
