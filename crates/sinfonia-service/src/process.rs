//! Child processes that never outlive this one, however it ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use tokio::runtime::Handle;

type Work = Box<dyn FnOnce() + Send>;

/// The thread that starts children. The kernel kills a child when the *thread* that started it ends, so this one never does.
static STARTER: LazyLock<io::Result<Sender<Work>>> = LazyLock::new(|| {
    let (sender, works) = mpsc::channel::<Work>();
    thread::Builder::new()
        .name("child-starter".to_owned())
        .spawn(move || works.into_iter().for_each(|work| work()))?;
    Ok(sender)
});

/// Starts a program that is killed (SIGKILL) when this process ends, also when that crashes.
///
/// # Errors
/// The program cannot be started.
pub fn spawn_bound(mut command: Command) -> io::Result<Child> {
    bind(&mut command);
    on_lasting_thread(move || command.spawn())
}

/// Starts a program as [`spawn_bound`] does, for the runtime that this is called in.
///
/// # Errors
/// The program cannot be started.
pub fn spawn_bound_async(
    mut command: tokio::process::Command,
) -> io::Result<tokio::process::Child> {
    bind(command.as_std_mut());
    let runtime = Handle::current();
    on_lasting_thread(move || {
        let _entered = runtime.enter();
        command.spawn()
    })
}

fn on_lasting_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let gone = || io::Error::other("the thread that starts programs has ended");
    let starter = STARTER
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (sender, result) = mpsc::sync_channel(1);
    let work = move || {
        // Whoever asked waits for the answer below.
        let _ = sender.send(work());
    };
    starter.send(Box::new(work)).map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

fn bind(command: &mut Command) {
    let parent = getpid();
    #[expect(
        unsafe_code,
        reason = "what runs between fork and exec has to be async-signal-safe: prctl and getppid are"
    )]
    unsafe {
        command.pre_exec(move || die_with(parent));
    }
}

fn die_with(parent: Pid) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have ended before that took effect.
    if getppid() == parent {
        Ok(())
    } else {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("60");
            spawn_bound(command).unwrap()
        };

        let mut child = thread::spawn(start).join().unwrap();

        thread::sleep(std::time::Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn output_is_read_on_the_runtime_of_the_caller() {
        let mut command = tokio::process::Command::new("echo");
        command.arg("hello").stdout(Stdio::piped());

        let child = spawn_bound_async(command).unwrap();

        let output = child.wait_with_output().await.unwrap();
        assert_eq!(output.stdout, b"hello\n");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = spawn_bound(Command::new("/no/such/program")).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
