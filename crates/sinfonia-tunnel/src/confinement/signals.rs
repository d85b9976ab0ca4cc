//! Signals that are meant for the application.

use std::io;
use std::thread;

use nix::libc::SI_KERNEL;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
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

/// Signals that no longer end this process, because they are meant for the application.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Holds them back from this thread, and from all threads and programs that it starts from now on except applications. Other
    /// threads should not be there.
    ///
    /// # Errors
    /// The system gives no descriptor.
    pub fn hold() -> io::Result<Self> {
        let set = passed_on();
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?))
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
    pub fn pass_on_to(self, application: Handle) -> io::Result<()> {
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || self.pass_on(&application))?;
        Ok(())
    }

    fn pass_on(&self, application: &Handle) {
        while let Ok(Some(info)) = self.0.read_signal() {
            // What a terminal sends, it has sent to the application as well.
            if info.ssi_code == SI_KERNEL {
                continue;
            }
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            let passed = PASSED_ON
                .iter()
                .find(|(signal, _)| *signal as i32 == number);
            if passed.is_some_and(|(_, signal)| application.signal(*signal).is_err()) {
                return;
            }
        }
    }
}

/// Undoes [`Signals::hold`] in this thread, which may be that of a process that was started while they were held back.
pub(super) fn release() -> io::Result<()> {
    Ok(passed_on().thread_unblock()?)
}

fn passed_on() -> SigSet {
    PASSED_ON.iter().map(|(signal, _)| *signal).collect()
}
