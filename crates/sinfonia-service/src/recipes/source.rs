//! Where recipes come from: a folder of this machine or an http(s) URL.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::{FromStr, Utf8Error};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{ETAG, IF_NONE_MATCH};
use sinfonia_core::diagnostic::Diagnostic;
use sinfonia_core::recipe::{MOST_BYTES, Recipe};
use url::Url;
use uuid::Uuid;

use super::Parse;
use crate::client::{ReadError, read_bounded};

/// Time that a repository has for one recipe.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A repository of recipes, as the option `--recipes` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipeSource {
    /// A folder with `<uuid>.yaml` files.
    Folder(PathBuf),
    /// An http(s) URL below which `<uuid>.yaml` is found.
    Http(Url),
}

/// Why a text names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeSourceError {
    /// A URL that is neither http nor https.
    #[error("`{0}` is not a recipe repository: expected a folder or an http(s) URL")]
    Scheme(String),
}

/// Why a source gave nothing to believe.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("cannot read the folder {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} leads out of the repository", .0.display())]
    Outside(PathBuf),
    #[error("the recipe is longer than {MOST_BYTES} bytes")]
    TooLong,
    #[error("the repository does not answer")]
    Request(#[source] reqwest::Error),
    #[error("the repository answered {0}")]
    Status(StatusCode),
    #[error("the repository's answer cannot be read")]
    Answer(#[source] ReadError),
    #[error("the recipe is not UTF-8")]
    Text(#[source] Utf8Error),
    #[error("the recipe is malformed")]
    Malformed(#[source] Diagnostic),
}

/// What a source said of a recipe.
pub(super) enum Fetched {
    /// It is what it was when it had the ETag given.
    NotModified,
    /// There is none.
    Missing,
    /// Its text, and its ETag where there is one.
    Found { text: Vec<u8>, etag: Option<String> },
}

/// What a source said of a recipe, understood.
pub(super) enum Parsed {
    NotModified,
    Missing,
    Recipe(Read),
}

/// A recipe as it was read.
pub(super) struct Read {
    pub(super) recipe: Arc<Recipe>,
    pub(super) etag: Option<String>,
    /// The fields that this version ignores.
    pub(super) ignored: Vec<String>,
}

impl FromStr for RecipeSource {
    type Err = RecipeSourceError;

    fn from_str(text: &str) -> Result<Self, RecipeSourceError> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self::Http(url)),
            _ if text.contains("://") => Err(RecipeSourceError::Scheme(
                text.escape_default().take(120).collect(),
            )),
            _ => Ok(Self::Folder(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for RecipeSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(formatter),
            // Without user information and query, which may hold secrets.
            Self::Http(url) => {
                let port = url
                    .port()
                    .map_or_else(String::new, |port| format!(":{port}"));
                write!(
                    formatter,
                    "{}://{}{port}{}",
                    url.scheme(),
                    url.host_str().unwrap_or_default(),
                    url.path()
                )
            }
        }
    }
}

impl RecipeSource {
    pub(super) async fn fetch(
        &self,
        recipe: Uuid,
        etag: Option<&str>,
        client: &reqwest::Client,
    ) -> Result<Fetched, SourceError> {
        match self {
            Self::Folder(root) => read_file(root, recipe).await,
            Self::Http(base) => download(&recipe_url(base, recipe), etag, client).await,
        }
    }

    pub(super) async fn list(&self) -> Option<BTreeSet<Uuid>> {
        let Self::Folder(root) = self else {
            return None;
        };
        let mut recipes = BTreeSet::new();
        let mut entries = tokio::fs::read_dir(root).await.ok()?;
        while let Some(entry) = entries.next_entry().await.ok()? {
            let name = entry.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".yaml"));
            recipes.extend(stem.and_then(|stem| stem.parse::<Uuid>().ok()));
        }
        Some(recipes)
    }
}

impl Fetched {
    pub(super) fn parse(self, parse: Parse) -> Result<Parsed, SourceError> {
        let (text, etag) = match self {
            Self::NotModified => return Ok(Parsed::NotModified),
            Self::Missing => return Ok(Parsed::Missing),
            Self::Found { text, etag } => (text, etag),
        };
        let text = std::str::from_utf8(&text).map_err(SourceError::Text)?;
        Ok(Parsed::Recipe(Read {
            recipe: Arc::new(parse(text).map_err(SourceError::Malformed)?),
            etag,
            ignored: Recipe::ignored_fields(text).map_err(SourceError::Malformed)?,
        }))
    }
}

/// Reads a recipe's file, which may be a symbolic link, but not one that leaves the folder.
async fn read_file(root: &Path, recipe: Uuid) -> Result<Fetched, SourceError> {
    let folder = |source| SourceError::Folder {
        path: root.to_owned(),
        source,
    };
    let canonical_root = tokio::fs::canonicalize(root).await.map_err(folder)?;
    let path = root.join(format!("{recipe}.yaml"));
    let canonical = match tokio::fs::canonicalize(&path).await {
        Ok(canonical) => canonical,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fetched::Missing),
        Err(source) => return Err(SourceError::File { path, source }),
    };
    if !canonical.starts_with(&canonical_root) {
        return Err(SourceError::Outside(path));
    }
    let text = tokio::fs::read(&canonical)
        .await
        .map_err(|source| SourceError::File { path, source })?;
    if text.len() > MOST_BYTES {
        return Err(SourceError::TooLong);
    }
    Ok(Fetched::Found { text, etag: None })
}

fn recipe_url(base: &Url, recipe: Uuid) -> Url {
    let mut url = base.clone();
    url.set_path(&format!(
        "{}/{recipe}.yaml",
        base.path().trim_end_matches('/')
    ));
    url
}

async fn download(
    url: &Url,
    etag: Option<&str>,
    client: &reqwest::Client,
) -> Result<Fetched, SourceError> {
    let mut request = client.get(url.clone()).timeout(TIMEOUT);
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let response = request
        .send()
        .await
        .map_err(|error| SourceError::Request(error.without_url()))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Fetched::NotModified),
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Fetched::Missing),
        status => return Err(SourceError::Status(status)),
    }
    let etag = response
        .headers()
        .get(ETAG)
        .and_then(|etag| etag.to_str().ok())
        .map(str::to_owned);
    let text = read_bounded(response, MOST_BYTES)
        .await
        .map_err(SourceError::Answer)?;
    Ok(Fetched::Found {
        text: text.to_vec(),
        etag,
    })
}
