//! Files that are read again when they change: a bad new one is told and the old one kept.

use std::error::Error;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

/// Time between two looks at a file. The content is read each time: it is what counts, and mounted configuration (symbolic links that
/// move) and editors (which rename) change it in ways that notifications miss.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// Time in which new content must not change to count as complete: an editor that empties a file and writes it anew takes less.
const SETTLED: Duration = Duration::from_millis(100);

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError<E: Error + 'static> {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{} is refused", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: E,
    },
}

/// The newest good content of a file. Clones share it; reading takes no lock.
#[derive(Debug)]
pub struct Reloaded<T>(Arc<ArcSwap<T>>);

/// Looks for new content of one file. Its owner runs it, usually as a task, or asks it to look.
pub struct Follower<T, P> {
    path: PathBuf,
    parse: P,
    current: Reloaded<T>,
    /// Digest of what was last looked at, good or bad; nothing while the file cannot be read.
    seen: Option<[u8; 32]>,
}

/// What a look at the file found.
#[derive(Debug)]
pub enum Look<T, E: Error + 'static> {
    /// The content is what it was at the last look, or the file still cannot be read.
    Unchanged,
    /// There is new content, and it is current now.
    Changed(Arc<T>),
    /// What is there now is refused; the old content stays current.
    Refused(ReloadError<E>),
}

impl<T> Reloaded<T> {
    /// A content that never changes, where no file is given.
    pub fn fixed(content: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(content)))
    }

    /// The current content.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Reads a file for the first time, and gives what follows its changes.
    ///
    /// # Errors
    /// The file cannot be read, or `parse` refuses it.
    pub async fn open<P, E>(path: &Path, parse: P) -> Result<(Self, Follower<T, P>), ReloadError<E>>
    where
        P: Fn(&[u8]) -> Result<T, E>,
        E: Error + 'static,
    {
        let bytes = read(path).await?;
        let content = parse(&bytes).map_err(|source| ReloadError::Parse {
            path: path.to_owned(),
            source,
        })?;
        let current = Self::fixed(content);
        let seen = Some(digest(&bytes));
        Ok((
            current.clone(),
            Follower {
                path: path.to_owned(),
                parse,
                current,
                seen,
            },
        ))
    }
}

impl<T> Clone for Reloaded<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T, P, E> Follower<T, P>
where
    P: Fn(&[u8]) -> Result<T, E>,
    E: Error + 'static,
{
    /// Looks at the file every `interval`, for ever; tells the log about each change and `on_change` about each good one.
    pub async fn run(mut self, interval: Duration, mut on_change: impl FnMut(&Arc<T>)) {
        loop {
            tokio::time::sleep(interval).await;
            match self.look().await {
                Look::Unchanged => {}
                Look::Changed(content) => {
                    tracing::info!(path = %self.path.display(), "file reloaded");
                    on_change(&content);
                }
                Look::Refused(error) => {
                    let cause = causes(&error);
                    tracing::warn!(%error, cause, "changed file refused, the old content stays");
                }
            }
        }
    }

    /// Looks at the file once.
    pub async fn look(&mut self) -> Look<T, E> {
        if self.is_as_seen().await {
            return Look::Unchanged;
        }
        let bytes = match self.read_whole().await {
            Ok(bytes) => bytes,
            // Told once, until it can be read again.
            Err(error) => {
                return self
                    .seen
                    .take()
                    .map_or(Look::Unchanged, |_| Look::Refused(error));
            }
        };
        let digest = digest(&bytes);
        if self.seen.replace(digest) == Some(digest) {
            return Look::Unchanged;
        }
        match (self.parse)(&bytes) {
            Ok(content) => {
                let content = Arc::new(content);
                self.current.0.store(Arc::clone(&content));
                Look::Changed(content)
            }
            Err(source) => Look::Refused(ReloadError::Parse {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

impl<T, P> Follower<T, P> {
    /// Whether the content is what was last looked at. It is read in pieces, because a large file would take as much memory at each look.
    async fn is_as_seen(&self) -> bool {
        let path = self.path.clone();
        let digest = tokio::task::spawn_blocking(move || {
            let mut hasher = Sha256::new();
            std::io::copy(&mut File::open(path)?, &mut hasher)?;
            io::Result::Ok(hasher.finalize().into())
        });
        self.seen.is_some() && self.seen == digest.await.ok().and_then(Result::ok)
    }

    /// Reads the file until it is as it was last seen, or as it was a moment ago: somebody may be in the middle of writing it.
    async fn read_whole<E: Error + 'static>(&self) -> Result<Vec<u8>, ReloadError<E>> {
        let mut bytes = read(&self.path).await?;
        while self.seen != Some(digest(&bytes)) {
            tokio::time::sleep(SETTLED).await;
            let again = read(&self.path).await?;
            if again == bytes {
                break;
            }
            bytes = again;
        }
        Ok(bytes)
    }
}

async fn read<E: Error + 'static>(path: &Path) -> Result<Vec<u8>, ReloadError<E>> {
    tokio::fs::read(path)
        .await
        .map_err(|source| ReloadError::Read {
            path: path.to_owned(),
            source,
        })
}

/// What caused an error, nearest first, for the log: `Display` tells the error alone.
pub fn causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::ParseIntError;

    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_file_is_read_again_when_it_changes() {
        let (_folder, path) = file("1");
        let (current, mut follower) = Reloaded::open(&path, number).await.unwrap();

        let before = follower.look().await;
        fs::write(&path, "2").unwrap();
        let after = follower.look().await;

        assert!(matches!(before, Look::Unchanged));
        assert!(matches!(after, Look::Changed(content) if *content == 2));
        assert_eq!(*current.load(), 2);
    }

    #[tokio::test]
    async fn a_bad_new_file_is_told_once_and_the_old_one_kept() {
        let (_folder, path) = file("1");
        let (current, mut follower) = Reloaded::open(&path, number).await.unwrap();

        fs::write(&path, "two").unwrap();
        let first = follower.look().await;
        let second = follower.look().await;

        assert!(matches!(first, Look::Refused(ReloadError::Parse { .. })));
        assert!(matches!(second, Look::Unchanged));
        assert_eq!(*current.load(), 1);
    }

    #[tokio::test]
    async fn a_file_in_the_middle_of_being_written_is_not_taken() {
        let (_folder, path) = file("12");
        let (current, mut follower) = Reloaded::open(&path, number).await.unwrap();

        fs::write(&path, "3").unwrap();
        let finished = async {
            tokio::time::sleep(SETTLED / 4).await;
            fs::write(&path, "34").unwrap();
        };
        let (look, ()) = tokio::join!(follower.look(), finished);

        assert!(matches!(look, Look::Changed(content) if *content == 34));
        assert_eq!(*current.load(), 34);
    }

    #[tokio::test]
    async fn a_file_that_vanishes_is_told_once_and_found_again() {
        let (_folder, path) = file("1");
        let (current, mut follower) = Reloaded::open(&path, number).await.unwrap();

        fs::remove_file(&path).unwrap();
        let first = follower.look().await;
        let second = follower.look().await;
        fs::write(&path, "3").unwrap();
        let third = follower.look().await;

        assert!(matches!(first, Look::Refused(ReloadError::Read { .. })));
        assert!(matches!(second, Look::Unchanged));
        assert!(matches!(third, Look::Changed(_)));
        assert_eq!(*current.load(), 3);
    }

    #[tokio::test]
    async fn a_link_that_moves_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("current");
        for (name, content) in [("old", "1"), ("new", "2")] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        std::os::unix::fs::symlink("old", &path).unwrap();
        let (current, mut follower) = Reloaded::open(&path, number).await.unwrap();

        std::os::unix::fs::symlink("new", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &path).unwrap();
        follower.look().await;

        assert_eq!(*current.load(), 2);
    }

    #[tokio::test]
    async fn the_owner_of_a_running_follower_hears_of_changes() {
        let (_folder, path) = file("1");
        let (_current, follower) = Reloaded::open(&path, number).await.unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();

        fs::write(&path, "2").unwrap();
        let running = tokio::spawn(follower.run(Duration::from_millis(1), move |content| {
            sender.send(**content).unwrap();
        }));
        let heard = receiver.recv().await;
        running.abort();

        assert_eq!(heard, Some(2));
    }

    #[tokio::test]
    async fn a_bad_first_file_is_an_error() {
        let (_folder, path) = file("one");

        let error = Reloaded::open(&path, number).await.err().unwrap();

        assert_eq!(error.to_string(), format!("{} is refused", path.display()));
    }

    fn file(content: &str) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn number(bytes: &[u8]) -> Result<u32, ParseIntError> {
        String::from_utf8_lossy(bytes).parse()
    }
}
