//! Processes that are waited for with patience, but not for ever.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use sinfonia_service::process::spawn_bound;

use super::interrupt;

/// Time between two looks at whether the user wants to end.
const LOOK: Duration = Duration::from_millis(20);
/// Time in which a process has to say its first line.
const START: Duration = Duration::from_secs(10);

/// A process that is killed when this is dropped, and when this program ends, however it does.
pub(super) struct Running {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts a program with this on its standard input, which stays open.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(
        name: &'static str,
        mut command: Command,
        input: &str,
    ) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = spawn_bound(command).with_context(|| format!("cannot start {name}"))?;
        let (sender, lines) = mpsc::channel();
        // Killed when the rest fails.
        let mut running = Self { name, child, lines };
        if let Some(stdout) = running.child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                for line in lines {
                    // Who asks for no more lines is gone.
                    let _ = sender.send(line);
                }
            });
        }
        if let Some(stdin) = &mut running.child.stdin {
            stdin
                .write_all(input.as_bytes())
                .with_context(|| format!("{name} does not take its input"))?;
        }
        Ok(running)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that the program prints once it is up.
    ///
    /// # Errors
    /// It ends before, or takes too long, or the user wants to end.
    pub(super) fn first_line(&mut self) -> anyhow::Result<String> {
        let line = self.line(Instant::now() + START)?;
        line.with_context(|| format!("{} ended before it was up", self.name))
    }

    /// Waits until the program has ended well, and returns what it printed.
    ///
    /// # Errors
    /// It failed, or takes longer than this, or the user wants to end.
    pub(super) fn output(mut self, time: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + time;
        let mut output = String::new();
        while let Some(line) = self.line(deadline)? {
            output += &line;
            output.push('\n');
        }
        let status = self.child.wait()?;
        ensure!(
            status.success(),
            "{} failed, {status}: {}",
            self.name,
            output.trim_end()
        );
        Ok(output)
    }

    /// Fails if the program has ended.
    ///
    /// # Errors
    /// That is what it is for.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended, {status}", self.name),
        }
    }

    /// The lines that it has printed since it was last asked for lines.
    pub(super) fn lines_so_far(&self) -> impl Iterator<Item = String> {
        self.lines.try_iter()
    }

    fn line(&self, deadline: Instant) -> anyhow::Result<Option<String>> {
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => interrupt::check()?,
            }
            ensure!(Instant::now() < deadline, "{} takes too long", self.name);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Running::start("the shell", command, input).unwrap()
    }

    #[test]
    fn what_a_program_prints_is_returned_once_it_ended_well() {
        let output = shell("read word; echo 1; echo $word", "two\n").output(START);

        assert_eq!(output.unwrap(), "1\ntwo\n");
    }

    #[test]
    fn a_failure_is_told_with_what_was_printed() {
        let error = shell("echo no; exit 3", "").output(START).unwrap_err();

        assert_eq!(error.to_string(), "the shell failed, exit status: 3: no");
    }

    #[test]
    fn nothing_is_waited_for_for_ever() {
        let error = shell("exec sleep 60", "").output(Duration::from_millis(50));

        assert_eq!(error.unwrap_err().to_string(), "the shell takes too long");
    }
}
