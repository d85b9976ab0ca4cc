//! The WireGuard key pairs of this device, one for each application, kept between runs.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};
use sinfonia_core::key::{KEY_BYTES, PrivateKey, PublicKey};
use sinfonia_core::yaml;

use crate::application::Application;
use crate::private_file::{self, PRIVATE_FILE};

/// Folder of the cache below the user's.
const FOLDER: &str = "sinfonia";

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyCacheError {
    /// Nothing says where the user's caches are.
    #[error("cannot find the home folder, which holds the key cache")]
    NoHome,
    /// The folder cannot be made.
    #[error("cannot use the key cache {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An entry cannot be written.
    #[error("cannot write the key {}", path.display())]
    Write {
        /// The entry.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another run uses the key of this application.
    #[error("{application} runs already on this device, with the same key")]
    InUse {
        /// The application.
        application: Application,
    },
    /// It cannot be told whether another run uses the key.
    #[error("cannot lock the key {}", path.display())]
    Lock {
        /// The entry.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gives no random numbers.
    #[error("cannot draw a random key")]
    Entropy(#[source] getrandom::Error),
}

/// A key pair of this device. It has no `Debug`, as its private half has none.
pub(crate) struct KeyPair {
    /// The half that names the deployment.
    pub(crate) public: PublicKey,
    /// The half that never leaves this device.
    pub(crate) private: PrivateKey,
}

/// What the cache had to say about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was there.
    Kept,
    /// There was none, so it was made.
    Made,
    /// There was an entry that could not be read or did not fit together; a new key took its place.
    Replaced,
}

/// The cache: a folder with a file for each application.
#[derive(Debug, Clone)]
pub(crate) struct KeyCache {
    folder: PathBuf,
}

/// An entry as it is written; other clients read it too.
#[derive(Serialize, Deserialize)]
struct Entry {
    public_key: String,
    private_key: String,
}

impl KeyCache {
    /// The cache of the user who runs this: `$XDG_CACHE_HOME/sinfonia`, by default `~/.cache/sinfonia`.
    ///
    /// # Errors
    /// The user has no home folder.
    pub(crate) fn of_user() -> Result<Self, KeyCacheError> {
        let strategy = etcetera::base_strategy::Xdg::new().map_err(|_| KeyCacheError::NoHome)?;
        Ok(Self::below(&strategy.cache_dir()))
    }

    /// The cache in this folder for the caches of all programs.
    pub(crate) fn below(caches: &Path) -> Self {
        Self {
            folder: caches.join(FOLDER),
        }
    }

    /// The file that holds the key of an application.
    pub(crate) fn entry(&self, application: Application) -> PathBuf {
        self.folder.join(application.uuid().to_string())
    }

    /// The key of an application, if there is one that can be read.
    pub(crate) fn find(&self, application: Application) -> Option<KeyPair> {
        let text = std::fs::read_to_string(self.entry(application)).ok()?;
        // What is wrong with an entry is not told: the parser's message may repeat the key.
        let entry: Entry = yaml::document(&text).ok()?;
        let private = PrivateKey::parse(&entry.private_key).ok()?;
        let public = entry.public_key.parse().ok()?;
        (private.public_key() == public).then_some(KeyPair { public, private })
    }

    /// The key of an application; where there is none, or an entry that cannot be read, one is made of the system's entropy.
    ///
    /// # Errors
    /// The cache cannot be written, or the system gives no entropy.
    pub(crate) fn find_or_make(
        &self,
        application: Application,
    ) -> Result<(KeyPair, Origin), KeyCacheError> {
        let path = self.entry(application);
        private_file::make_folder(&self.folder).map_err(|source| KeyCacheError::Folder {
            path: self.folder.clone(),
            source,
        })?;
        if let Some(pair) = self.find(application) {
            private_file::close_to_others(&path)
                .map_err(|source| KeyCacheError::Write { path, source })?;
            return Ok((pair, Origin::Kept));
        }
        self.make(application, entropy()?)
            .map_err(|source| KeyCacheError::Write { path, source })
    }

    /// Keeps other runs from using the key of an application, until what this returns is dropped: of two tunnels with one key, each takes
    /// the other's session.
    ///
    /// # Errors
    /// Another run uses it, or there is no key.
    pub(crate) fn lock(&self, application: Application) -> Result<File, KeyCacheError> {
        let path = self.entry(application);
        let failed = |source| KeyCacheError::Lock {
            path: path.clone(),
            source,
        };
        let entry = File::open(&path).map_err(failed)?;
        match entry.try_lock() {
            Ok(()) => Ok(entry),
            Err(TryLockError::WouldBlock) => Err(KeyCacheError::InUse { application }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn make(
        &self,
        application: Application,
        entropy: [u8; KEY_BYTES],
    ) -> io::Result<(KeyPair, Origin)> {
        let path = self.entry(application);
        let pair = KeyPair::new(PrivateKey::from_entropy(entropy));
        let text = pair.to_entry()?;
        match private_file::write_new(&path, &text, PRIVATE_FILE) {
            Ok(()) => Ok((pair, Origin::Made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // A run beside this one may have made it in the meantime.
                if let Some(pair) = self.find(application) {
                    return Ok((pair, Origin::Kept));
                }
                private_file::write(&path, &text, PRIVATE_FILE)?;
                Ok((pair, Origin::Replaced))
            }
            Err(error) => Err(error),
        }
    }
}

fn entropy() -> Result<[u8; KEY_BYTES], KeyCacheError> {
    let mut entropy = [0; KEY_BYTES];
    getrandom::fill(&mut entropy).map_err(KeyCacheError::Entropy)?;
    Ok(entropy)
}

impl KeyPair {
    /// A key pair that nobody keeps.
    ///
    /// # Errors
    /// The system gives no entropy.
    pub(crate) fn fresh() -> Result<Self, KeyCacheError> {
        Ok(Self::new(PrivateKey::from_entropy(entropy()?)))
    }

    fn new(private: PrivateKey) -> Self {
        Self {
            public: private.public_key(),
            private,
        }
    }

    fn to_entry(&self) -> io::Result<String> {
        let entry = Entry {
            public_key: self.public.to_string(),
            private_key: self.private.to_base64(),
        };
        yaml::to_text(&entry).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;

    const PRIVATE: &str = "QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=";
    const OTHER: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn a_key_is_made_once_and_kept() {
        let (_home, cache) = cache();

        let (first, made) = cache.find_or_make(helloworld()).unwrap();
        let (second, kept) = cache.find_or_make(helloworld()).unwrap();

        assert_eq!((made, kept), (Origin::Made, Origin::Kept));
        assert_eq!(
            (first.public, first.private.to_base64()),
            (second.public, second.private.to_base64())
        );
    }

    #[test]
    fn a_key_is_for_one_run_at_a_time() {
        let (_home, cache) = cache();
        cache.find_or_make(helloworld()).unwrap();

        let first = cache.lock(helloworld()).unwrap();
        let second = cache.lock(helloworld());
        drop(first);

        assert!(matches!(second, Err(KeyCacheError::InUse { .. })));
        assert!(cache.lock(helloworld()).is_ok());
    }

    #[test]
    fn each_application_has_a_key_of_its_own() {
        let (_home, cache) = cache();
        let other = "755c2e1d-9f8a-4a1b-8a43-a8f0e7c5b1f2".parse().unwrap();

        let (first, _) = cache.find_or_make(helloworld()).unwrap();
        let (second, _) = cache.find_or_make(other).unwrap();

        assert_ne!(first.public, second.public);
    }

    #[test]
    fn folders_and_entry_are_closed_to_others() {
        let (home, cache) = cache();

        cache.find_or_make(helloworld()).unwrap();

        assert_eq!(
            (
                mode(&home.path().join("caches")),
                mode(&home.path().join("caches/sinfonia")),
                mode(&cache.entry(helloworld()))
            ),
            (0o700, 0o700, 0o600)
        );
    }

    #[test]
    fn folder_and_entry_that_stood_open_are_closed() {
        let (home, cache) = cache();
        cache.find_or_make(helloworld()).unwrap();
        let folder = home.path().join("caches/sinfonia");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(cache.entry(helloworld()), Permissions::from_mode(0o644)).unwrap();

        let (_, origin) = cache.find_or_make(helloworld()).unwrap();

        assert_eq!(origin, Origin::Kept);
        assert_eq!(
            (mode(&folder), mode(&cache.entry(helloworld()))),
            (0o700, 0o600)
        );
    }

    #[test]
    fn an_entry_of_another_client_is_read() {
        let (_home, cache) = cache();
        let pair = KeyPair::new(PrivateKey::parse(PRIVATE).unwrap());
        write_entry(
            &cache,
            &format!("private_key: {PRIVATE}\npublic_key: {}\n", pair.public),
        );

        let (found, origin) = cache.find_or_make(helloworld()).unwrap();

        assert_eq!((found.public, origin), (pair.public, Origin::Kept));
    }

    #[rstest]
    #[case::empty("")]
    #[case::no_yaml("{{{")]
    #[case::no_mapping(PRIVATE)]
    #[case::a_field_is_missing(&format!("private_key: {PRIVATE}\n"))]
    #[case::no_key(&format!("private_key: short\npublic_key: {OTHER}\n"))]
    #[case::keys_that_do_not_belong_together(&format!("private_key: {PRIVATE}\npublic_key: {OTHER}\n"))]
    fn an_unreadable_entry_is_replaced(#[case] text: &str) {
        let (_home, cache) = cache();
        write_entry(&cache, text);

        let (pair, origin) = cache.find_or_make(helloworld()).unwrap();

        assert_eq!(origin, Origin::Replaced);
        assert_eq!(cache.find(helloworld()).unwrap().public, pair.public);
        assert_eq!(mode(&cache.entry(helloworld())), 0o600);
    }

    #[test]
    fn nothing_but_entries_stays_in_the_folder() {
        let (home, cache) = cache();
        write_entry(&cache, "");

        cache.find_or_make(helloworld()).unwrap();

        assert_eq!(
            fs::read_dir(home.path().join("caches/sinfonia"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_an_error_that_names_it() {
        let (home, cache) = cache();
        fs::write(home.path().join("caches"), "a file").unwrap();

        let error = cache.find_or_make(helloworld()).err().unwrap();

        assert!(matches!(error, KeyCacheError::Folder { .. }), "{error}");
    }

    fn cache() -> (TempDir, KeyCache) {
        let home = TempDir::new().unwrap();
        let cache = KeyCache::below(&home.path().join("caches"));
        (home, cache)
    }

    fn helloworld() -> Application {
        "helloworld".parse().unwrap()
    }

    fn write_entry(cache: &KeyCache, text: &str) {
        private_file::make_folder(&cache.folder).unwrap();
        fs::write(cache.entry(helloworld()), text).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }
}
