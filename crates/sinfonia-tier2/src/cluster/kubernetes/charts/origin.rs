//! Where a chart comes from: a file of the recipes' folder, a URL, or a container registry.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use http::header::{ETAG, IF_NONE_MATCH};
use sinfonia_core::recipe::{ChartReference, ChartVersion};
use sinfonia_service::client::{ReadError, read_bounded};
use sinfonia_service::recipes::RecipeSource;
use tokio::task::JoinError;
use url::Url;

use super::Shared;
use super::archive::ArchiveError;
use super::store::{Stamp, StoreError};
use crate::cluster::kubernetes::helm::{HelmError, HelmFailure};

/// Most bytes of a chart, packed.
pub(super) const PACKED_BYTES: usize = 16 * 1024 * 1024;
/// Time to fetch a chart over http.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Time for which a chart from a URL is believed without asking whether it changed.
const HTTP_LIFE: Duration = Duration::from_secs(60);
/// The same for one of a registry, where every time it is all fetched; versions there change rarely.
const OCI_LIFE: Duration = Duration::from_secs(60 * 60);

/// Why a source gave no chart to use.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("there is none")]
    Missing,
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} leads out of the repository", .0.display())]
    Outside(PathBuf),
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    #[error("it is longer than {PACKED_BYTES} bytes")]
    TooLong,
    #[error("its server does not answer")]
    Request(#[source] reqwest::Error),
    #[error("its server answered {0}")]
    Status(StatusCode),
    #[error("its server's answer cannot be read")]
    Answer(#[source] ReadError),
    #[error("it cannot be fetched from its registry")]
    Pull(#[source] HelmError),
    #[error("it is not the chart that was asked for")]
    Archive(#[source] ArchiveError),
    #[error("it cannot be kept")]
    Store(#[source] StoreError),
    #[error("the look-up was interrupted")]
    Interrupted(#[source] JoinError),
    #[error("the look-up gave no answer")]
    NoAnswer,
}

/// Where one chart comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file below a folder that it must not lead out of.
    File { root: PathBuf, path: PathBuf },
    /// A URL.
    Http(Url),
    /// A repository of a registry.
    Oci {
        reference: Url,
        version: ChartVersion,
    },
}

/// What tells whether a chart has changed at its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tag {
    None,
    Etag(String),
    File(Stamp),
}

/// What an origin said.
pub(super) enum Fetched {
    /// The chart is what it was when it had the tag given.
    NotModified,
    /// Its bytes.
    Chart { bytes: Vec<u8>, tag: Tag },
}

impl FetchError {
    /// Whether asking again would be told the same.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Missing | Self::Outside(_) | Self::NotAFile(_) | Self::TooLong => true,
            Self::Archive(_) | Self::Answer(ReadError::TooLong(_)) => true,
            Self::Status(status) => {
                !status.is_server_error() && !matches!(status.as_u16(), 408 | 425 | 429)
            }
            Self::Read { .. } | Self::Request(_) | Self::Answer(ReadError::Broken(_)) => false,
            Self::Pull(_) | Self::Store(_) | Self::Interrupted(_) | Self::NoAnswer => false,
        }
    }
}

impl Origin {
    /// Where a recipe's chart lies: `<chart>-<version>.tgz`, seen from the repository that holds the recipe.
    pub(super) fn new(
        source: &RecipeSource,
        reference: &ChartReference,
        version: &ChartVersion,
    ) -> Self {
        match (reference, source) {
            (ChartReference::Path(chart), RecipeSource::Folder(root)) => Self::File {
                root: root.clone(),
                path: root.join(format!("{chart}-{version}.tgz")),
            },
            (ChartReference::Path(chart), RecipeSource::Http(base)) => {
                let path = format!("{}/{chart}", base.path().trim_end_matches('/'));
                Self::Http(archive_url(base, &path, version))
            }
            (ChartReference::Https(url), _) => Self::Http(archive_url(url, url.path(), version)),
            (ChartReference::Oci(url), _) => Self::Oci {
                reference: url.clone(),
                version: version.clone(),
            },
        }
    }

    /// Time for which a chart from here is believed.
    pub(super) const fn life(&self) -> Duration {
        match self {
            Self::File { .. } => Duration::ZERO,
            Self::Http(_) => HTTP_LIFE,
            Self::Oci { .. } => OCI_LIFE,
        }
    }

    /// Time after a failure in which this is not asked again; a folder is asked each time.
    pub(super) const fn retry(&self, usual: Duration) -> Duration {
        match self {
            Self::File { .. } => Duration::ZERO,
            Self::Http(_) | Self::Oci { .. } => usual,
        }
    }

    /// Whether it can be seen at once that nothing has changed.
    pub(super) async fn is_unchanged(&self, tag: &Tag) -> bool {
        let (Self::File { root, path }, Tag::File(stamp)) = (self, tag) else {
            return false;
        };
        let (root, path, stamp) = (root.clone(), path.clone(), *stamp);
        let looked = tokio::task::spawn_blocking(move || locate(&root, &path));
        matches!(looked.await, Ok(Ok((_, metadata))) if Stamp::from(&metadata) == stamp)
    }

    /// Fetches the chart, unless it has the tag given.
    pub(super) async fn fetch(
        &self,
        tag: Option<&Tag>,
        shared: &Shared,
    ) -> Result<Fetched, FetchError> {
        match self {
            Self::File { root, path } => {
                let (root, path) = (root.clone(), path.clone());
                blocking(move || read_below(&root, &path)).await
            }
            Self::Http(url) => download(url, tag, &shared.client).await,
            Self::Oci { reference, version } => pull(reference, version, shared).await,
        }
    }
}

fn archive_url(base: &Url, path: &str, version: &ChartVersion) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}-{version}.tgz", path.trim_end_matches('/')));
    url
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(FetchError::Interrupted(error)))
}

fn read_below(root: &Path, path: &Path) -> Result<Fetched, FetchError> {
    let (canonical, metadata) = locate(root, path)?;
    Ok(Fetched::Chart {
        bytes: read_file(&canonical)?,
        tag: Tag::File(Stamp::from(&metadata)),
    })
}

/// Finds a file, which may be a symbolic link, but not one that leaves the root.
fn locate(root: &Path, path: &Path) -> Result<(PathBuf, Metadata), FetchError> {
    let root = root
        .canonicalize()
        .map_err(|source| read_error(root, source))?;
    let canonical = match path.canonicalize() {
        Ok(canonical) => canonical,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(FetchError::Missing);
        }
        Err(source) => return Err(read_error(path, source)),
    };
    if !canonical.starts_with(root) {
        return Err(FetchError::Outside(path.to_owned()));
    }
    let metadata = fs::metadata(&canonical).map_err(|source| read_error(&canonical, source))?;
    if !metadata.is_file() {
        return Err(FetchError::NotAFile(path.to_owned()));
    }
    Ok((canonical, metadata))
}

fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(PACKED_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| read_error(path, source))?;
    if bytes.len() > PACKED_BYTES {
        return Err(FetchError::TooLong);
    }
    Ok(bytes)
}

fn read_error(path: &Path, source: io::Error) -> FetchError {
    FetchError::Read {
        path: path.to_owned(),
        source,
    }
}

async fn download(
    url: &Url,
    tag: Option<&Tag>,
    client: &reqwest::Client,
) -> Result<Fetched, FetchError> {
    let mut request = client.get(url.clone()).timeout(TIMEOUT);
    let known = match tag {
        Some(Tag::Etag(etag)) => Some(etag),
        _ => None,
    };
    if let Some(etag) = known {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let answered = request.send().await;
    // The URL may hold secrets.
    let response = answered.map_err(|error| FetchError::Request(error.without_url()))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Fetched::NotModified),
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(FetchError::Missing),
        status => return Err(FetchError::Status(status)),
    }
    let etag = response.headers().get(ETAG);
    let tag = etag
        .and_then(|etag| etag.to_str().ok())
        .map_or(Tag::None, |etag| Tag::Etag(etag.to_owned()));
    let read = read_bounded(response, PACKED_BYTES).await;
    Ok(Fetched::Chart {
        bytes: read.map_err(FetchError::Answer)?.to_vec(),
        tag,
    })
}

async fn pull(
    reference: &Url,
    version: &ChartVersion,
    shared: &Shared,
) -> Result<Fetched, FetchError> {
    let store = shared.store.clone();
    let scratch = blocking(move || store.scratch().map_err(FetchError::Store)).await?;
    match shared.helm.pull(reference, version, scratch.path()).await {
        Ok(()) => {}
        Err(error) if error.kind() == HelmFailure::ChartNotFound => {
            return Err(FetchError::Missing);
        }
        Err(error) => return Err(FetchError::Pull(error)),
    }
    blocking(move || {
        let folder = scratch.path();
        let entries = fs::read_dir(folder).map_err(|source| read_error(folder, source))?;
        let mut paths = entries.flatten().map(|entry| entry.path());
        let path = paths.find(|path| path.extension().is_some_and(|extension| extension == "tgz"));
        Ok(Fetched::Chart {
            bytes: read_file(&path.ok_or(FetchError::Missing)?)?,
            tag: Tag::None,
        })
    })
    .await
}
