//! A child process that never outlives this one.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use nix::sys::signal::raise;
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, pidfd_open, pidfd_send_signal,
    waitid, waitpid,
};

/// What is added to the number of the signal that ended a process, as shells do.
const SIGNALLED: i32 = 128;

/// Longer than a shell needs to continue one process of a job after another: what a terminal stopped together is not to be stopped
/// again one by one.
const CONTINUED_TOGETHER: Duration = Duration::from_millis(10);

/// A child process and the thread that looks after it.
#[derive(Debug)]
pub(super) struct Process {
    handle: Handle,
    ended: Receiver<io::Result<ExitStatus>>,
}

impl Process {
    /// Starts a process on a thread that lasts as long as it: the kernel takes the end of a child's *thread* for that of its parent.
    pub(super) fn start(command: Command) -> io::Result<Self> {
        let (started, starting) = mpsc::sync_channel(1);
        let (ending, ended) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("application".to_owned())
            .spawn(move || look_after(command, &started, &ending))?;
        let handle = starting.recv().map_err(io::Error::other)??;
        Ok(Self { handle, ended })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) fn wait(self) -> io::Result<ExitStatus> {
        self.ended.recv().map_err(io::Error::other)?
    }
}

/// What sends signals to a process. It never hits another one that came to have the same number.
#[derive(Debug, Clone)]
pub struct Handle {
    descriptor: Arc<OwnedFd>,
    pid: Pid,
}

impl Handle {
    /// Kills the process.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// The process's number; another one may come to have it once this one has ended.
    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Readable as soon as the process has ended.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&*self.descriptor, signal)?)
    }
}

/// What a process exits with that passes on how another one ended: its exit code, or 128 and the number of the signal that ended it.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

fn look_after(
    command: Command,
    started: &SyncSender<io::Result<Handle>>,
    ended: &SyncSender<io::Result<ExitStatus>>,
) {
    let (pid, handle) = match spawn(command) {
        Ok(child) => child,
        Err(error) => {
            // Whoever asked waits for the answer.
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(handle.clone()));
    // Nobody may want to know how it ended.
    let _ = ended.send(until_end(pid, &handle));
}

/// The command goes, and with it our copy of the descriptors that the child got.
fn spawn(mut command: Command) -> io::Result<(Pid, Handle)> {
    let mut child = command.spawn()?;
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = number.ok_or(Errno::SRCH)?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => {
            let descriptor = Arc::new(descriptor);
            Ok((pid, Handle { descriptor, pid }))
        }
        Err(error) => {
            child.kill()?;
            child.wait()?;
            Err(error.into())
        }
    }
}

fn until_end(pid: Pid, handle: &Handle) -> io::Result<ExitStatus> {
    loop {
        let changed = retry_on_intr(|| waitpid(Some(pid), WaitOptions::UNTRACED))?;
        match changed {
            Some((_, status)) if status.stopped() => stop_as_well(pid, handle)?,
            Some((_, status)) => return Ok(ExitStatus::from_raw(status.as_raw())),
            None => {}
        }
    }
}

/// A shell has to see its job stopped to take the terminal back. It continues this process first, and with it the application.
fn stop_as_well(pid: Pid, handle: &Handle) -> io::Result<()> {
    thread::sleep(CONTINUED_TOGETHER);
    if has_continued(pid)? {
        return Ok(());
    }
    // To this very thread: it must not continue the application before it has stopped itself.
    raise(nix::sys::signal::Signal::SIGSTOP)?;
    // The application may have ended meanwhile, which the next wait tells.
    let _ = handle.signal(Signal::CONT);
    Ok(())
}

fn has_continued(pid: Pid) -> io::Result<bool> {
    let options = WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG;
    Ok(waitid(WaitId::Pid(pid), options)?.is_some())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::success("exit 0", 0)]
    #[case::failure("exit 7", 7)]
    #[case::killed("kill -KILL $$", 137)]
    #[case::terminated("kill -TERM $$", 143)]
    fn exit_codes_are_those_of_a_shell(#[case] script: &str, #[case] expected: u8) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);

        let status = Process::start(command).unwrap().wait().unwrap();

        assert_eq!(exit_code(status), expected);
    }

    #[test]
    fn a_handle_kills() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = Process::start(command).unwrap();

        process.handle().kill().unwrap();

        assert_eq!(exit_code(process.wait().unwrap()), 137);
    }

    #[test]
    fn what_cannot_be_started_is_an_error() {
        let error = Process::start(Command::new("/no/such/program")).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
