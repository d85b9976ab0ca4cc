//! Commands that run something inside the tunnel of a deployment.

use std::env;
use std::ffi::OsString;
use std::fs::File;

#[cfg(target_os = "linux")]
use sinfonia_tunnel::confinement::Mtu;

use super::deploy::Plan;
use crate::arguments::{InsideArgs, ShellArgs, TalkArgs};
use crate::failure::CommandError;
use crate::key_cache::KeyPair;
use crate::session::Session;
use crate::tier1::Wishes;

/// What is opened where no shell is named.
const SHELL: &str = "/bin/sh";

/// How is told what happens while an application runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// As notes for people.
    Notes,
    /// As events for programs.
    Events,
}

/// What is to happen inside the tunnel.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The program and its arguments; without any, the tunnel is kept for others.
    pub(crate) command: Vec<OsString>,
    /// Whether the tunnel stays for others when the program has ended.
    pub(crate) keep: bool,
    /// How is told what happens.
    pub(crate) report: Report,
}

impl Wanted {
    /// A program, and no others.
    pub(crate) const fn alone(command: Vec<OsString>) -> Self {
        Self {
            command,
            keep: false,
            report: Report::Notes,
        }
    }
}

impl Report {
    /// What else is told: nothing that programs would have to skip.
    pub(crate) const fn talk(self, talk: TalkArgs) -> TalkArgs {
        TalkArgs {
            quiet: talk.quiet || matches!(self, Self::Events),
            ..talk
        }
    }
}

/// `sinfonia-tier3 shell`.
pub(crate) fn shell(args: &ShellArgs) -> Result<u8, CommandError> {
    let ShellArgs {
        application,
        location,
        timeout,
        inside,
        talk,
        tier1,
    } = args;
    let work = || {
        let session = Session::open(tier1, *application, *talk)?;
        let plan = Plan {
            wishes: Wishes {
                location: *location,
                ..Wishes::default()
            },
            probe: false,
            timeout: *timeout,
            wait: true,
        };
        let shell = open_shell(&session);
        run(&session, &plan, inside, Wanted::alone(shell))
    };
    work().map_err(|error| with_application(error, Report::Notes))
}

/// Deploys and runs a command inside the tunnel. Returns what it exited with.
///
/// # Errors
/// It does not come to run.
#[cfg(target_os = "linux")]
pub(crate) fn run(
    session: &Session,
    plan: &Plan,
    args: &InsideArgs,
    wanted: Wanted,
) -> Result<u8, CommandError> {
    let InsideArgs {
        new_key,
        no_release,
        mtu,
        failover_after: _,
        status,
    } = args;
    let (key, _in_use) = choose_key(session, *new_key)?;
    let inside = crate::confined::Inside {
        wanted,
        mtu: Mtu::new(*mtu).unwrap_or_default(),
        release: !no_release,
        failover_after: args.longest_silence(),
        status: *status,
    };
    crate::confined::run(session, &key, plan, &inside)
}

/// Refuses to run a command inside the tunnel.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(
    session: &Session,
    _: &Plan,
    _: &InsideArgs,
    _: Wanted,
) -> Result<u8, CommandError> {
    Err(CommandError::NoNamespaces {
        url: Some(session.tier1.url().clone()),
        application: session.application,
    })
}

/// The key of a run, which no other run uses as long as the second value is there.
///
/// # Errors
/// The key cannot be had, or another run uses it.
pub(crate) fn choose_key(
    session: &Session,
    new: bool,
) -> Result<(KeyPair, Option<File>), CommandError> {
    if new {
        return Ok((KeyPair::fresh()?, None));
    }
    let key = session.key()?;
    Ok((key, Some(session.keys.lock(session.application)?)))
}

/// The user's shell, with a word that tells it from the one outside.
pub(crate) fn open_shell(session: &Session) -> Vec<OsString> {
    let shell = env::var_os("SHELL").filter(|shell| !shell.is_empty());
    session.talk.note(&format!(
        "this shell's only way out is the tunnel to {}; it closes with the shell",
        session.application
    ));
    vec![shell.unwrap_or_else(|| SHELL.into())]
}

/// Makes the exit code one that no application is likely to have.
pub(crate) fn with_application(error: CommandError, report: Report) -> CommandError {
    match report {
        Report::Notes => CommandError::WithApplication(Box::new(error)),
        Report::Events => CommandError::AsEvent(Box::new(error)),
    }
}
