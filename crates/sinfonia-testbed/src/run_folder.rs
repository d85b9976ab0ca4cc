//! The folder of a control plane that tests share: gone with the process that made it, however that ends, unless a test failed.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cache::cache_folder;

/// The file that says that logs are wanted.
const KEEP: &str = "failed";
/// The file that is locked while the process lives.
const LOCK: &str = "lock";
/// How long logs of failed tests are kept at least.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Waits for the end of the process at the other end of its standard input, then for what that has started and what still writes, and
/// removes the folder.
const JANITOR: &str = r#"
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do
  [ -e "$1/failed" ] && rm -rf "$1/etcd" "$1/containerd" "$1/kubelet" && exit
  rm -rf "$1" && [ ! -e "$1" ] && exit
  sleep 0.2
done 2>/dev/null
"#;

/// A folder that goes with this process, even when that is killed.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    janitor: Child,
    _lock: File,
}

impl RunFolder {
    /// Makes a folder, and removes those of earlier runs that are left and no longer wanted.
    ///
    /// # Errors
    /// The user's cache cannot be written.
    pub fn new() -> io::Result<Self> {
        let runs = cache_folder().join("runs");
        fs::create_dir_all(&runs)?;
        remove_old(&runs);
        let path = tempfile::Builder::new()
            .prefix(&format!("{}-", std::process::id()))
            .tempdir_in(&runs)?
            .keep();
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // It is not interrupted with this process.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            path,
            janitor,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a test wants the logs in it.
    pub fn is_kept(&self) -> bool {
        self.path.join(KEEP).exists()
    }

    /// Keeps the logs in this folder.
    pub fn keep(folder: &Path) {
        // A folder that is gone holds no logs.
        let _ = fs::write(folder.join(KEEP), "");
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

fn remove_old(runs: &Path) {
    for run in fs::read_dir(runs).into_iter().flatten().flatten() {
        let path = run.path();
        if has_ended(&path) && !is_wanted(&path) {
            // Another run may have removed it meanwhile.
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Whether the process that made this folder has ended. One that has not locked it yet is just beginning.
fn has_ended(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

fn is_wanted(folder: &Path) -> bool {
    fs::metadata(folder.join(KEEP))
        .and_then(|file| file.modified())
        .is_ok_and(|failed| failed.elapsed().is_ok_and(|age| age < KEPT_FOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_run_goes_with_it() {
        let folder = RunFolder::new().unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("etcd.log"), "").unwrap();
        assert!(!folder.is_kept());

        drop(folder);

        assert!(!path.exists());
    }

    #[test]
    fn logs_that_a_failed_test_wants_stay_without_the_data() {
        let folder = RunFolder::new().unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("etcd.log"), "").unwrap();
        fs::create_dir(path.join("etcd")).unwrap();
        RunFolder::keep(&path);
        assert!(folder.is_kept());

        drop(folder);

        assert!(path.join("etcd.log").exists());
        assert!(!path.join("etcd").exists());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn only_folders_of_runs_that_have_ended_and_that_nobody_wants_are_removed() {
        let runs = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = runs.path().join(name);
            fs::create_dir(&path).unwrap();
            (File::create(path.join(LOCK)).unwrap(), path)
        };
        let (running, _) = make("running");
        running.lock().unwrap();
        let (_, ended) = make("ended");
        let (_, failed) = make("failed");
        RunFolder::keep(&failed);
        fs::create_dir(runs.path().join("beginning")).unwrap();

        remove_old(runs.path());

        let left = fs::read_dir(runs.path()).unwrap().count();
        assert_eq!((left, ended.exists()), (3, false));
    }
}
