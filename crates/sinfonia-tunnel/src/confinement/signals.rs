//! Signals that are meant for the application.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use rustix::process::Signal as Sent;

use super::process::Handle;

/// What is passed on, under the two names that the system's libraries have for it.
const PASSED_ON: [(Signal, Sent); 6] = [
    (Signal::SIGHUP, Sent::HUP),
    (Signal::SIGINT, Sent::INT),
    (Signal::SIGQUIT, Sent::QUIT),
    (Signal::SIGTERM, Sent::TERM),
    (Signal::SIGUSR1, Sent::USR1),
    (Signal::SIGUSR2, Sent::USR2),
];

/// What asks a process to end.
const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// Signals that no longer end this process, because they are meant for the application.
#[derive(Debug, Clone)]
pub struct Signals(Arc<SignalFd>);

impl Signals {
    /// Holds them back from this thread, and from all threads and programs that it starts from now on except applications. Other
    /// threads should not be there.
    ///
    /// # Errors
    /// The system gives no descriptor.
    pub fn hold() -> io::Result<Self> {
        let set = passed_on();
        set.thread_block()?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self(Arc::new(descriptor)))
    }

    /// Does something during which they act on this process as they did before, for as long as there is no application.
    ///
    /// # Errors
    /// The system does not let them through, or hold them back again.
    pub fn let_through<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        release()?;
        let done = work();
        passed_on().thread_block()?;
        Ok(done)
    }

    /// Passes them on, on a thread of its own, until the application has ended.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn pass_on_to(&self, application: Handle) -> io::Result<()> {
        let signals = self.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.pass_on(&application))?;
        Ok(())
    }

    /// Waits for one that asks this process to end, where there is no application that they would be meant for.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn wait_for_end(&self) -> io::Result<()> {
        loop {
            match self.0.read_signal() {
                Ok(Some(info)) if asks_to_end(&info) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn pass_on(&self, application: &Handle) {
        loop {
            let readable = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
            let mut both = [readable(application.descriptor()), readable(self.0.as_fd())];
            match poll(&mut both, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            let [ended, signalled] = both.map(|one| one.any().unwrap_or_default());
            // First of all, because what comes after its end is not meant for the application.
            if ended {
                return;
            }
            if signalled {
                self.pass_on_one(application);
            }
        }
    }

    fn pass_on_one(&self, application: &Handle) {
        let Ok(Some(info)) = self.0.read_signal() else {
            return;
        };
        // What a terminal sends, it has sent to the application as well.
        if info.ssi_code == SI_KERNEL {
            return;
        }
        let passed = PASSED_ON.iter().find(|(signal, _)| is(&info, *signal));
        if let Some((_, signal)) = passed {
            // It may have ended meanwhile, which is seen next.
            let _ = application.signal(*signal);
        }
    }
}

fn asks_to_end(info: &siginfo) -> bool {
    ENDING.iter().any(|signal| is(info, *signal))
}

fn is(info: &siginfo, signal: Signal) -> bool {
    i32::try_from(info.ssi_signo).is_ok_and(|number| number == signal as i32)
}

/// Undoes [`Signals::hold`] in this thread, which may be that of a process that was started while they were held back.
pub(super) fn release() -> io::Result<()> {
    Ok(passed_on().thread_unblock()?)
}

fn passed_on() -> SigSet {
    PASSED_ON.iter().map(|(signal, _)| *signal).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::process::Process;
    use super::*;

    #[test]
    fn nothing_is_passed_on_once_the_application_has_ended() {
        let process = Process::start(Command::new("true")).unwrap();
        let handle = process.handle();
        process.wait().unwrap();
        let (done, stopped) = mpsc::channel();

        // On a thread of its own, so that the signals of the others stay as they are.
        thread::spawn(move || {
            Signals::hold().unwrap().pass_on(&handle);
            done.send(())
        });

        assert!(stopped.recv_timeout(Duration::from_secs(10)).is_ok());
    }
}
