//! The cloudlet file as Tier 1 follows it, together with the files of tokens and certificates that it names.
//!
//! All of it is taken or nothing: a change that cannot be used is told, the old cloudlets stay, and it is tried again at each look, in
//! case it was a token file that was not there yet.

mod named;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sinfonia_core::cloudlet_file::{CloudletFile, FileEntry};
use sinfonia_core::diagnostic::Diagnostic;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::metrics::Metrics;
use sinfonia_service::reload::{Follower, ReloadError, Reloaded, causes};
use sinfonia_service::tokens::OwnToken;

pub use self::named::NamedFileError;
use self::named::{NamedFiles, is_change};
use crate::registry::{FileCloudlet, Registry};
use crate::scrape::{Prepared, Scraper, Target};

/// Why a cloudlet file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableCloudlets {
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    Encoding(#[from] Utf8Error),
    /// It does not describe cloudlets.
    #[error(transparent)]
    Content(#[from] Diagnostic),
}

/// Why the cloudlets of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CloudletsError {
    /// The cloudlet file cannot be read or is malformed.
    #[error(transparent)]
    File(#[from] ReloadError<UnreadableCloudlets>),
    /// There is no cloudlet file.
    #[error(
        "there is no cloudlet file {}\nhint: name one with --cloudlets FILE, or leave the option out to know only cloudlets that report",
        .0.display()
    )]
    NoFile(PathBuf),
    /// A file that a cloudlet names cannot be used.
    #[error("{}: {field} of {endpoint}", file.display())]
    Named {
        /// The cloudlet file.
        file: PathBuf,
        /// The field that names the other file.
        field: &'static str,
        /// The cloudlet.
        endpoint: Endpoint,
        /// What is wrong with the other file.
        #[source]
        source: NamedFileError,
    },
}

/// Follows the changes of a cloudlet file and of the files that it names.
pub struct CloudletsFollower {
    path: PathBuf,
    insecure_http: bool,
    registry: Registry,
    scraper: Scraper,
    document: Reloaded<Document>,
    document_follower: FileFollower<Document, UnreadableCloudlets>,
    /// Of the cloudlets in use, where they take anything.
    needs: Vec<Needs>,
    named: NamedFiles,
    /// Why what is there now is not in use, as last told; `None` while it is.
    refused: Option<String>,
}

/// A cloudlet file that was read, until its cloudlets are handed over: they are not kept in memory twice.
struct Document(Mutex<Option<CloudletFile>>);

/// What a cloudlet takes beside the cloudlet file.
struct Needs {
    endpoint: Endpoint,
    token_file: Option<PathBuf>,
    metrics: Option<Metrics>,
}

/// What the cloudlets of a file take beside it.
struct Supplies {
    tokens: HashMap<Endpoint, OwnToken>,
    targets: Prepared,
    named: NamedFiles,
}

type Parse<T, E> = fn(&[u8]) -> Result<T, E>;
type FileFollower<T, E> = Follower<T, Parse<T, E>>;

impl CloudletsFollower {
    /// Reads a cloudlet file, hands its cloudlets to the registry and what they say of metrics to the scraper, and gives what follows the
    /// changes.
    ///
    /// # Errors
    /// The file, or one that it names, cannot be read or is malformed, or a token would travel in clear.
    pub async fn open(
        path: &Path,
        insecure_http: bool,
        registry: Registry,
        scraper: Scraper,
    ) -> Result<Self, CloudletsError> {
        let parse: fn(&[u8]) -> _ = parse;
        let (document, document_follower) = match Reloaded::open(path, parse).await {
            Ok(opened) => opened,
            Err(ReloadError::Read { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(CloudletsError::NoFile(path));
            }
            Err(error) => return Err(error.into()),
        };
        let mut follower = Self {
            path: path.to_owned(),
            insecure_http,
            registry,
            scraper,
            document,
            document_follower,
            needs: Vec::new(),
            named: NamedFiles::of(path, insecure_http),
            refused: None,
        };
        follower.apply().await?;
        Ok(follower)
    }

    /// Looks for changes every `interval`, for ever.
    pub async fn run(mut self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.look().await;
        }
    }

    /// Looks for changes once. What is new and good is in the registry afterwards, what is bad in the log, once.
    pub async fn look(&mut self) {
        let mut changed = self.refused.is_some();
        changed |= is_change(self.document_follower.look().await);
        changed |= self.named.look().await;
        if !changed {
            return;
        }
        match self.apply().await {
            Ok(()) => self.refused = None,
            Err(error) => {
                let reason = format!("{error}: {}", causes(&error));
                if self.refused.as_ref() != Some(&reason) {
                    tell(&error);
                }
                self.refused = Some(reason);
            }
        }
    }

    /// Hands the document's cloudlets to the registry and the scraper, each with its token, or leaves all as it is.
    async fn apply(&mut self) -> Result<(), CloudletsError> {
        match self.document.load().take() {
            Some(document) => self.apply_document(document).await,
            None => self.supply_anew().await,
        }
    }

    async fn apply_document(&mut self, document: CloudletFile) -> Result<(), CloudletsError> {
        let needs: Vec<Needs> = document.entries.iter().filter_map(Needs::of).collect();
        let mut supplies = match self.supplies(&needs).await {
            Ok(supplies) => supplies,
            Err(error) => {
                self.document.load().put_back(document);
                return Err(error);
            }
        };
        for warning in &document.warnings {
            tracing::warn!(path = %self.path.display(), %warning, "cloudlet file is odd");
        }
        let cloudlets = document.entries.into_iter().map(|entry| FileCloudlet {
            token: supplies.tokens.remove(&entry.cloudlet.endpoint),
            info: entry.cloudlet,
        });
        let cloudlets: Vec<FileCloudlet> = cloudlets.collect();
        tracing::info!(path = %self.path.display(), cloudlets = cloudlets.len(), "cloudlet file read");
        self.registry.replace_file(cloudlets);
        self.needs = needs;
        self.scraper.follow(supplies.targets).await;
        self.named = supplies.named;
        Ok(())
    }

    /// Takes over what the files say now that the document in use names.
    async fn supply_anew(&mut self) -> Result<(), CloudletsError> {
        let supplies = self.supplies(&self.needs).await?;
        tracing::info!(path = %self.path.display(), "files that the cloudlet file names read again");
        self.registry.set_tokens(supplies.tokens);
        self.scraper.follow(supplies.targets).await;
        self.named = supplies.named;
        Ok(())
    }

    /// Reads the files that cloudlets name.
    async fn supplies(&self, needs: &[Needs]) -> Result<Supplies, CloudletsError> {
        let mut named = NamedFiles::of(&self.path, self.insecure_http);
        let (mut tokens, mut targets) = (HashMap::new(), Vec::new());
        for needs in needs {
            let endpoint = &needs.endpoint;
            let file = needs.token_file.as_deref();
            let token = named.token(file, &endpoint.url()).await;
            let token = token.map_err(|source| self.unusable("token_file", endpoint, source))?;
            tokens.extend(token.map(|token| (endpoint.clone(), token)));
            if let Some(metrics) = &needs.metrics {
                targets.push(self.target(endpoint, metrics, &mut named).await?);
            }
        }
        let targets = self.scraper.prepare(targets);
        let targets = targets.map_err(|(endpoint, source)| {
            self.unusable("metrics.ca_file", &endpoint, source.into())
        })?;
        Ok(Supplies {
            tokens,
            targets,
            named,
        })
    }

    /// What is scraped of a cloudlet, with its token and certificates.
    async fn target(
        &self,
        endpoint: &Endpoint,
        metrics: &Metrics,
        named: &mut NamedFiles,
    ) -> Result<Target, CloudletsError> {
        let token_file = metrics.token_file.as_deref();
        let token = named.token(token_file, metrics.source.url()).await;
        let authority = named.authority(metrics.ca_file.as_deref()).await;
        Ok(Target {
            endpoint: endpoint.clone(),
            metrics: metrics.clone(),
            token: token.map_err(|source| self.unusable("metrics.token_file", endpoint, source))?,
            authority: authority
                .map_err(|source| self.unusable("metrics.ca_file", endpoint, source))?,
        })
    }

    fn unusable(
        &self,
        field: &'static str,
        endpoint: &Endpoint,
        source: NamedFileError,
    ) -> CloudletsError {
        CloudletsError::Named {
            file: self.path.clone(),
            field,
            endpoint: endpoint.clone(),
            source,
        }
    }
}

impl Needs {
    /// `None` for a cloudlet that takes nothing.
    fn of(entry: &FileEntry) -> Option<Self> {
        let takes_something = entry.token_file.is_some() || entry.metrics.is_some();
        takes_something.then(|| Self {
            endpoint: entry.cloudlet.endpoint.clone(),
            token_file: entry.token_file.clone(),
            metrics: entry.metrics.clone(),
        })
    }
}

impl Document {
    fn take(&self) -> Option<CloudletFile> {
        self.content().take()
    }

    fn put_back(&self, document: CloudletFile) {
        *self.content() = Some(document);
    }

    fn content(&self) -> MutexGuard<'_, Option<CloudletFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(bytes: &[u8]) -> Result<Document, UnreadableCloudlets> {
    let document = CloudletFile::parse(std::str::from_utf8(bytes)?)?;
    Ok(Document(Mutex::new(Some(document))))
}

fn tell(error: &(impl std::error::Error + 'static)) {
    let cause = causes(error);
    tracing::warn!(%error, cause, "changed cloudlet file refused, the old cloudlets stay");
}

#[cfg(test)]
mod tests;
