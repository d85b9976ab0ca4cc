//! Folders for the files and logs of one test.

use std::io::{self, Write};
use std::path::Path;
use std::thread;

use tempfile::TempDir;

/// A new temporary folder. It is removed in the end, but kept, and named on stderr, when its test fails.
#[derive(Debug)]
pub struct TestFolder(TempDir);

impl TestFolder {
    /// Makes a folder.
    ///
    /// # Errors
    /// The system's folder for temporary files cannot be written.
    pub fn new() -> io::Result<Self> {
        TempDir::with_prefix("sinfonia-").map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.disable_cleanup(true);
            // A test that has failed tells what it can.
            let _ = writeln!(
                io::stderr(),
                "files and logs of the failed test are kept in {}",
                self.0.path().display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_folder_of_a_test_that_passes_is_removed() {
        let folder = TestFolder::new().unwrap();
        let path = folder.path().to_owned();

        drop(folder);

        assert!(!path.exists());
    }

    #[test]
    fn the_folder_of_a_test_that_fails_is_kept() {
        let failing = thread::spawn(|| {
            let folder = TestFolder::new().unwrap();
            std::panic::resume_unwind(Box::new(folder.path().to_owned()));
        });

        let path = failing.join().unwrap_err().downcast::<PathBuf>().unwrap();

        assert!(path.is_dir());
        fs::remove_dir(*path).unwrap();
    }
}
