//! Tunnels that stay for further commands, and finding them.
//!
//! A file tells which process holds the namespaces of an application. A number alone would not do: the process may have ended without
//! taking the file away, and another one have come to have its number. With the time of its start it is unmistakable.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use sinfonia_tunnel::confinement::{Namespaces, Waiting};

use crate::application::Application;
use crate::private_file::{self, PRIVATE_FILE};

/// Folder of the files below the user's for such things.
const FOLDER: &str = "sinfonia";

/// What tells the file from the application's key, where both are in one folder.
const EXTENSION: &str = "kept";

/// Where the time of a process's start stands in its `stat` behind the name, the last thing in which there may be blanks.
const START_TIME: usize = 19;

/// Why a tunnel does not stay for others, or is not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    /// There is no place for the file.
    #[error("cannot find a folder that tells other commands of the tunnel")]
    NoFolder,
    /// The file cannot be written.
    #[error("cannot write {}, which tells other commands of the tunnel", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nobody keeps a tunnel of this application.
    #[error("no tunnel to {0} is kept")]
    None(Application),
    /// There is one, which cannot be entered.
    #[error("cannot enter the tunnel to {application}")]
    Enter {
        /// The application.
        application: Application,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A process, unmistakably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// Its number.
    process: i32,
    /// When it was started, in clock ticks since the system was.
    started: u64,
}

/// Holds the namespaces of an application and tells others of it, until it is dropped.
pub(crate) struct Hold {
    path: PathBuf,
    /// The process that waits in the namespaces; it never becomes an application.
    _waiting: Waiting,
}

impl Hold {
    /// Holds the namespaces in which this process waits.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn new(application: Application, waiting: Waiting) -> Result<Self, KeptError> {
        let path = file(application)?;
        write(&path, waiting.id()).map_err(|source| KeptError::Write {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            _waiting: waiting,
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // What stays is known by the process, which has ended.
        let _ = fs::remove_file(&self.path);
    }
}

/// The namespaces of an application whose tunnel is kept.
///
/// # Errors
/// There is none, or it is somebody else's.
pub(crate) fn find(application: Application) -> Result<Namespaces, KeptError> {
    let holder = read(&file(application)?).ok_or(KeptError::None(application))?;
    let namespaces = Namespaces::of_process(Pid::from_raw(holder.process));
    // Asked only now, so that the namespaces are surely those of the process that is meant.
    if start_time(holder.process) != Some(holder.started) {
        return Err(KeptError::None(application));
    }
    namespaces.map_err(|source| KeptError::Enter {
        application,
        source,
    })
}

/// Where it is told who holds the namespaces of an application: with the user's other things that end with the system, or, where there
/// is no such folder, with the keys.
fn file(application: Application) -> Result<PathBuf, KeptError> {
    let strategy = etcetera::base_strategy::Xdg::new().map_err(|_| KeptError::NoFolder)?;
    let folder = strategy
        .runtime_dir()
        .unwrap_or_else(|| strategy.cache_dir());
    let name = format!("{}.{EXTENSION}", application.uuid());
    Ok(folder.join(FOLDER).join(name))
}

fn write(path: &Path, process: u32) -> io::Result<()> {
    let process = i32::try_from(process).map_err(io::Error::other)?;
    let started = start_time(process).ok_or(io::ErrorKind::NotFound)?;
    let text = serde_json::to_string(&Holder { process, started })?;
    path.parent().map_or(Ok(()), private_file::make_folder)?;
    private_file::write(path, &text, PRIVATE_FILE)
}

fn read(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// When a process was started, in clock ticks since the system was; nothing if there is no such process.
fn start_time(process: i32) -> Option<u64> {
    started(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// The time of the start in the `stat` of a process.
fn started(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(START_TIME)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    #[rstest]
    #[case::plain(
        "7 (sh) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10",
        Some(4711)
    )]
    #[case::name_with_blanks_and_brackets(
        "7 (a) S 1 (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10",
        Some(4711)
    )]
    #[case::cut_off("7 (sh) S 1 7", None)]
    #[case::empty("", None)]
    fn the_start_of_a_process_is_behind_its_name(
        #[case] stat: &str,
        #[case] expected: Option<u64>,
    ) {
        assert_eq!(started(stat), expected);
    }

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("below/file");
        let process = std::process::id();

        write(&path, process).unwrap();

        let holder = read(&path).unwrap();
        assert_eq!(holder.process.unsigned_abs(), process);
        assert_eq!(start_time(holder.process), Some(holder.started));
        assert_ne!(start_time(1), Some(holder.started));
    }

    #[test]
    fn a_file_that_says_something_else_is_as_good_as_none() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "{\"process\": ").unwrap();

        assert_eq!(read(&path), None);
    }
}
