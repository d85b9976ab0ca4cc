//! Why helm did not do what it was asked for.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sinfonia_core::lifecycle::Failure;

use super::HelmFailure;
use crate::cluster::quota::QuotaReached;

/// Why helm did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelmError {
    /// Its folder cannot be prepared.
    #[error("cannot prepare the folder {} for helm", path.display())]
    Home {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot be run.
    #[error("cannot run {}", program.display())]
    Run {
        /// The binary.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It did not end in time and was killed.
    #[error("helm {command} did not end within {} s", limit.as_secs())]
    Overdue {
        /// What it was to do.
        command: &'static str,
        /// The time that it had.
        limit: Duration,
    },
    /// It said that it failed.
    #[error("helm {command} failed: {kind}")]
    Failed {
        /// What it was to do.
        command: &'static str,
        /// The kind of failure.
        kind: HelmFailure,
        /// What it said: for the log and for callers with a token.
        text: String,
    },
    /// It is another program or another version.
    #[error("{} is not helm 3 or 4: it says `{version}`", program.display())]
    Version {
        /// The binary.
        program: PathBuf,
        /// What it said.
        version: String,
    },
}

impl HelmError {
    /// The kind of failure.
    pub(crate) const fn kind(&self) -> HelmFailure {
        match self {
            Self::Home { .. } | Self::Run { .. } | Self::Version { .. } => HelmFailure::Unreachable,
            Self::Overdue { .. } => HelmFailure::TimedOut,
            Self::Failed { kind, .. } => *kind,
        }
    }

    /// What callers are told of a failed installation when trying again does not help.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let detail = match self {
            Self::Failed { text, .. } => Some(text.trim().to_owned()),
            _ => None,
        };
        let failure = self.kind().failure()?;
        let quota = match self {
            Self::Failed {
                kind: HelmFailure::OverQuota,
                text,
                ..
            } => QuotaReached::in_words(text),
            _ => None,
        };
        Some(Failure {
            message: quota.map_or(failure.message, |quota| quota.to_string()),
            detail,
            ..failure
        })
    }
}
