//! The folder in which charts lie under their digests.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::Chart;

/// Age at which what lies in the folder is cleared away at the start: nothing works with it any more.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// The cache of charts cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep charts in {}", path.display())]
pub(crate) struct StoreError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The folder of charts.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: Arc<PathBuf>,
}

/// A chart that lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    path: PathBuf,
    digest: String,
    stamp: Stamp,
}

/// What shows that a file is still the one that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    inode: u64,
    modified: (i64, i64),
}

/// A folder that goes with this value.
pub(super) struct Scratch(PathBuf);

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Stored {
    pub(super) fn chart(&self) -> Chart {
        Chart {
            path: self.path.clone(),
            digest: self.digest.clone(),
        }
    }
}

impl Store {
    /// Makes the folder where it is missing, for nobody else to look into.
    pub(super) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        // helm is told the files' names, and must not take one for the name of a chart in a repository.
        match made.and_then(|()| std::path::absolute(&folder)) {
            Ok(folder) => {
                clear(&folder);
                Ok(Self {
                    folder: Arc::new(folder),
                })
            }
            Err(source) => Err(StoreError {
                path: folder,
                source,
            }),
        }
    }

    /// Whether a chart lies there as it was put there. Its digest was checked then, so this is a matter of microseconds.
    pub(super) async fn holds(&self, stored: &Stored) -> bool {
        let metadata = tokio::fs::metadata(&stored.path).await;
        metadata.is_ok_and(|metadata| Stamp::from(&metadata) == stored.stamp)
    }

    /// Puts a chart there, unless it is there already. Blocks.
    pub(super) fn keep(&self, bytes: &[u8]) -> Result<Stored, StoreError> {
        let digest = format!("{:x}", Sha256::digest(bytes));
        let path = self.folder.join(format!("{digest}.tgz"));
        let is_there = fs::read(&path).is_ok_and(|found| found == bytes);
        let written = if is_there {
            Ok(())
        } else {
            self.write(&path, bytes)
        };
        match written.and_then(|()| fs::metadata(&path)) {
            Ok(metadata) => Ok(Stored {
                stamp: Stamp::from(&metadata),
                path,
                digest,
            }),
            Err(source) => Err(StoreError { path, source }),
        }
    }

    /// Makes a folder to work in. Blocks.
    pub(super) fn scratch(&self) -> Result<Scratch, StoreError> {
        let path = self.folder.join(temporary_name());
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Scratch(path)),
            Err(source) => Err(StoreError { path, source }),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(temporary_name());
        let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // What stays is cleared away at the next start.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "folder cannot be removed");
        }
    }
}

/// A name that no other look-up uses, of this process or of another one.
fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.as_nanos());
    format!("part-{}-{nanos:x}-{number}", process::id())
}

/// Clears away what is old and ours; a failure only costs space.
fn clear(folder: &Path) {
    let old = |metadata: &Metadata| {
        let age = metadata
            .modified()
            .ok()
            .and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age > OLD)
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("part-") || name.ends_with(".tgz"));
        if !ours || !entry.metadata().is_ok_and(|metadata| old(&metadata)) {
            continue;
        }
        let _ = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
            _ => fs::remove_file(entry.path()),
        };
    }
}
