//! What goes wrong with a confinement, as its user is told.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::explanation::{Settings, explain};
use super::failure::{Failed, Step};
use super::link::LinkError;

/// Exit code for failures of our own, as `env` has it.
pub(super) const OWN_FAILURE: u8 = 125;
/// Exit code for an application that cannot be executed, as shells have it.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code for an application that is not there, as shells have it.
const NOT_FOUND: u8 = 127;

/// Why an application is not confined, or not running.
#[derive(Debug, thiserror::Error)]
pub enum ConfinementError {
    /// The process that would become the application does not start.
    #[error("cannot start a process for the application")]
    Start(#[source] io::Error),
    /// The process that would become the application stopped answering.
    #[error("the application's process is gone before it became the application")]
    Gone(#[source] io::Error),
    /// A step on the way failed.
    #[error("{step}")]
    Step {
        /// The step.
        step: Step,
        /// What the system said.
        #[source]
        source: io::Error,
        /// What forbids it, and what to do about it.
        hint: Option<String>,
    },
    /// The application does not start.
    #[error("cannot execute {}", Path::new(program).display())]
    Execute {
        /// The application.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The network is not as it should be.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The resolver's file cannot be written.
    #[error("cannot write the application's resolv.conf")]
    Resolver(#[source] io::Error),
}

impl ConfinementError {
    /// What the process exits with: 127 without an application, 126 when it cannot be executed, otherwise 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Self::Execute { .. } => NOT_EXECUTABLE,
            _ => OWN_FAILURE,
        }
    }

    /// What forbids it, and what the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Step { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// What the inner process told, with an explanation from this system's settings.
    pub(super) fn of(failed: Failed, program: &OsString) -> Self {
        let Failed { step, errno } = failed;
        let source = errno.into();
        if step == Step::Execute {
            let program = program.clone();
            return Self::Execute { program, source };
        }
        let ours = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("sinfonia-tier3"));
        Self::Step {
            step,
            source,
            hint: explain(step, errno, &Settings::read(), &ours),
        }
    }
}
