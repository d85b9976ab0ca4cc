//! Tier 3 of Sinfonia: the command line of a device.
//!
//! It asks a Tier 1 for a deployment of an application's backend on a nearby cloudlet, waits until that runs, and tells how to connect.
//! Answers go to stdout, everything else to stderr.

#![cfg_attr(
    not(target_os = "linux"),
    expect(
        dead_code,
        reason = "what runs inside the tunnel is there on Linux alone"
    )
)]

mod application;
mod arguments;
mod commands;
#[cfg(target_os = "linux")]
mod confined;
mod discovery;
mod display;
mod events;
mod failure;
mod forward;
mod keeper;
#[cfg(target_os = "linux")]
mod kept;
mod key_cache;
mod log;
mod output;
mod peer;
mod printable;
mod private_file;
mod probe;
mod problem;
mod qr_code;
mod session;
mod status;
mod talk;
mod tier1;
mod tier1_url;
mod waiting;
mod watch;
mod wireguard;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use sinfonia_service::version::Build;
use sinfonia_service::{settings, traces};

use self::arguments::{Cli, Command, Form, OlderForm};
pub use self::failure::Failure;
use self::failure::{CommandError, FIXABLE};

/// Becomes an application inside a tunnel, if this process was started by another one of ours to do so; the exit code says that it did
/// not come to that. To be called first of all, while there is one thread.
pub fn become_application() -> Option<ExitCode> {
    #[cfg(target_os = "linux")]
    return sinfonia_tunnel::confinement::inner();
    #[cfg(not(target_os = "linux"))]
    None
}

/// Runs a command line, the first argument of which is the program's name. Help, the version, which is that of this build, and usage errors
/// are told here.
///
/// # Errors
/// The command failed; the failure says what to do and what to exit with.
pub fn run(arguments: Vec<OsString>, build: Build) -> Result<ExitCode, Failure> {
    match arguments::split(arguments) {
        Form::Commands(arguments) => {
            parse_and_run(arguments, build, |cli: Cli| match cli.command {
                Command::Deploy(args) => commands::deploy::run(&args),
                Command::Shell(args) => commands::inside::shell(&args),
                Command::Exec(args) => commands::exec::run(&args),
                Command::Candidates(args) => done(commands::candidates(&args)),
                Command::Status(args) => done(commands::status(&args)),
                Command::Delete(args) => done(commands::delete(&args)),
                Command::Recipe(args) => done(commands::recipe(&args)),
                Command::Completions { shell } => done(commands::completions(shell)),
                Command::Man { folder } => done(commands::man(&folder)),
            })
        }
        Form::Older { own, application } => parse_and_run(own, build, |form: OlderForm| {
            commands::older::run(&form, &application)
        }),
    }
}

/// A command that has no exit code of its own.
fn done(result: Result<(), CommandError>) -> Result<u8, CommandError> {
    result.map(|()| 0)
}

fn parse_and_run<C: Parser>(
    arguments: Vec<OsString>,
    build: Build,
    run: impl FnOnce(C) -> Result<u8, CommandError>,
) -> Result<ExitCode, Failure> {
    match settings::try_parse_of(build, arguments, |name| std::env::var_os(name)) {
        Ok(settings) => {
            let done = run(settings).map(ExitCode::from).map_err(Failure::from);
            traces::finish();
            done
        }
        Err(told) => {
            // There is nobody left to tell if this fails.
            let _ = told.print();
            Ok(ExitCode::from(if told.use_stderr() { FIXABLE } else { 0 }))
        }
    }
}
