//! A program of others as a child process, with its log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sinfonia_service::process::spawn_bound;

use crate::ServiceError;
use crate::machine::Machine;

/// Bytes of a log's end that an error shows.
const LOG_END: u64 = 4096;

/// A running program. It is killed when this is dropped, and when this process ends, however it does.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output is appended to `<folder>/<name>.log`.
    pub(crate) fn start(name: &str, command: Command, folder: &Path) -> Result<Self, ServiceError> {
        Self::start_by(name, command, folder, spawn_bound)
    }

    /// Starts a program on a machine of its own, with which it ends; its log is here.
    pub(crate) fn start_on(
        machine: &Machine,
        name: &str,
        command: Command,
        folder: &Path,
    ) -> Result<Self, ServiceError> {
        Self::start_by(name, command, folder, |command| machine.spawn(command))
    }

    fn start_by(
        name: &str,
        mut command: Command,
        folder: &Path,
        spawn: impl FnOnce(Command) -> io::Result<Child>,
    ) -> Result<Self, ServiceError> {
        let log = folder.join(format!("{name}.log"));
        let open = || {
            let file = File::options().create(true).append(true).open(&log)?;
            Ok::<_, io::Error>((file.try_clone()?, file))
        };
        let failed = |source| ServiceError::Start {
            name: name.to_owned(),
            source,
        };
        let (stdout, stderr) = open().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = spawn(command).map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The error that tells that it never became ready, with the end of its log.
    pub(crate) fn not_up(&self) -> ServiceError {
        ServiceError::NotUp {
            name: self.name.clone(),
            log_text: end_of(&self.log).unwrap_or_default(),
            log: self.log.clone(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn end_of(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_END)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
