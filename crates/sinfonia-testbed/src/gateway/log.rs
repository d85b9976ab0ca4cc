//! What a gateway did, line by line.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::GatewayError;

/// `gateway.log`.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<File>);

impl Log {
    /// Opens the log in this folder; lines of earlier gateways stay.
    pub(super) fn open(folder: &Path) -> Result<Self, GatewayError> {
        let path = folder.join("gateway.log");
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map(|file| Self(Arc::new(file)))
            .map_err(|source| GatewayError::Write { path, source })
    }

    /// Adds a line, with the time.
    pub(super) fn say(&self, what: impl fmt::Display) {
        let line = format!("{:.3} {what}\n", Timestamp::now());
        // A log that cannot be written is no reason to fail.
        let _ = (&*self.0).write_all(line.as_bytes());
    }
}
