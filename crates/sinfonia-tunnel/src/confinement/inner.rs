//! The process that becomes the application.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::unistd::getppid;
use rustix::stdio::dup2_stdin;

use super::channel::{Channel, Message};
use super::error::OWN_FAILURE;
use super::failure::{At as _, Failed, Step};
use super::namespaces::{self, Namespaces};
use super::{mounts, netlink, privileges, signals, tun};

/// The first argument of the process that becomes the application. Nobody else's arguments begin with it by chance.
pub(super) const MARK: &str = "--sinfonia-inner-process";

/// Why the inner process does not become the application.
enum Stop {
    /// The outer process wants no application any more, or is gone.
    Unwanted,
    /// The outer process is to tell why.
    Failed(Failed),
}

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Unwanted
    }
}

/// Becomes the application if this process was started to do so; then it comes back only to exit with the code.
///
/// To be called first of all in `main`, while the process has one thread.
pub fn inner() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    if let Err(error) = become_application(arguments) {
        // A terminal is all that somebody who tries this by hand has.
        let _ = writeln!(io::stderr(), "error: {MARK} is not for you: {error}");
    }
    Some(OWN_FAILURE.into())
}

fn become_application(application: impl Iterator<Item = OsString>) -> io::Result<()> {
    // The channel comes in place of stdin, because that is the one descriptor that the outer process can hand over without unsafe code.
    let channel = Channel::new(io::stdin().as_fd().try_clone_to_owned()?);
    signals::release()?;
    let first = channel.receive()?;
    match confine(&channel, first, application) {
        Err(Stop::Failed(failed)) => channel.failed(failed),
        Err(Stop::Unwanted) => Ok(()),
    }
}

fn confine(
    channel: &Channel,
    order: Message,
    application: impl Iterator<Item = OsString>,
) -> Result<Infallible, Stop> {
    let parent = getppid();
    match order {
        Message::Create(descriptors) => {
            take_stdin(&mut descriptors.into_iter())?;
            create(channel)?;
        }
        Message::Enter(descriptors) => {
            let mut descriptors = descriptors.into_iter();
            take_stdin(&mut descriptors)?;
            let namespaces = Namespaces::from_descriptors(&mut descriptors);
            namespaces.ok_or(Stop::Unwanted)?.enter().at(Step::Enter)?;
            channel.entered()?;
        }
        _ => return Err(Stop::Unwanted),
    }
    let Message::Go = channel.receive()? else {
        return Err(Stop::Unwanted);
    };
    privileges::drop_all(parent).at(Step::Privileges)?;
    Err(execute(application).into())
}

fn take_stdin(descriptors: &mut impl Iterator<Item = OwnedFd>) -> Result<(), Stop> {
    let stdin = descriptors.next().ok_or(Stop::Unwanted)?;
    Ok(dup2_stdin(stdin).map_err(io::Error::from)?)
}

/// Makes everything, and hands it out; no copy stays here.
fn create(channel: &Channel) -> Result<(), Stop> {
    let namespaces = namespaces::make()?;
    let resolver = mounts::arrange()?;
    let tun = tun::make()?;
    let netlink = netlink::open().at(Step::Netlink)?;
    let mut descriptors = vec![tun.descriptor.as_fd(), netlink.as_fd(), resolver.as_fd()];
    descriptors.extend(namespaces.descriptors());
    Ok(channel.created(tun.framing, &descriptors)?)
}

fn execute(mut application: impl Iterator<Item = OsString>) -> Failed {
    let program = application.next().unwrap_or_default();
    let error = Command::new(program).args(application).exec();
    match Err::<Infallible, _>(error).at(Step::Execute) {
        Err(failed) => failed,
    }
}
