//! A command that runs beside forwarded ports, as anywhere else.

use std::ffi::OsString;
use std::process::ExitStatus;

use tokio::process::{Child, Command};

use super::error::ForwardError;
use super::signals::{Received, Signals};

/// What is added to the number of a signal for the exit code of what it ended, as shells have it.
#[cfg(unix)]
const SIGNALLED: i32 = 128;

/// Exit code where the system tells none.
const NO_CODE: u8 = 125;

/// Runs a command to its end. Signals are passed on to it.
pub(super) async fn run(words: &[OsString], signals: &mut Signals) -> Result<u8, ForwardError> {
    let mut words = words.iter();
    let program = words.next().cloned().unwrap_or_default();
    let started = Command::new(&program).args(words).spawn();
    let mut child = started.map_err(|source| ForwardError::Execute { program, source })?;
    loop {
        tokio::select! {
            ended = child.wait() => return ended.map(exit_code).map_err(ForwardError::Follow),
            received = signals.next() => pass_on(received, &child),
        }
    }
}

#[cfg(unix)]
fn pass_on(received: Received, child: &Child) {
    use rustix::process::{Pid, kill_process};

    // What a terminal sends, it has sent to the command as well.
    let from_terminal =
        received.is_from_keyboard() && std::io::IsTerminal::is_terminal(&std::io::stdin());
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|_| !from_terminal) {
        // It has ended, which is what will be heard next.
        let _ = kill_process(pid, received.signal());
    }
}

/// The console tells all its programs itself.
#[cfg(not(unix))]
const fn pass_on(_: Received, _: &Child) {}

fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(SIGNALLED + signal).unwrap_or(NO_CODE);
    }
    // Codes beyond a byte, as other systems have them, are failures all the same.
    status
        .code()
        .map_or(NO_CODE, |code| u8::try_from(code).unwrap_or(NO_CODE))
}
